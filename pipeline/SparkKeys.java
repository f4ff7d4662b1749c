package nightcart;

import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.crypto.keytools.KmsClient;

/**
 * Spark's side of pipeline/encryption/file_kms.py: master keys of Parquet's encryption in a file.
 *
 * A line of the file is a name and 64 hexadecimal digits. A key is wrapped by AES-256-GCM with the
 * name as additional data: base64 of 12 bytes of nonce, the ciphertext and 16 bytes of tag.
 */
public class SparkKeys implements KmsClient {
  public static final String FILE = "nightcart.encryption.key.file";
  private static final int NONCE_BYTES = 12;
  private static final int TAG_BITS = 128;
  private static final SecureRandom RANDOM = new SecureRandom();

  private final Map<String, SecretKeySpec> keys = new HashMap<>();
  private String file;

  @Override
  public void initialize(Configuration conf, String id, String url, String token) {
    file = conf.get(FILE, "");
    try {
      for (String line : Files.readAllLines(Paths.get(file), StandardCharsets.US_ASCII)) {
        String[] words = line.trim().split("\\s+");
        if (words.length == 2) {
          keys.put(words[0], new SecretKeySpec(HexFormat.of().parseHex(words[1]), "AES"));
        }
      }
    } catch (IOException | IllegalArgumentException error) {
      throw new IllegalStateException(
          "NIGHTCART_KEY encryption.key_file " + where() + " cannot be read");
    }
  }

  @Override
  public String wrapKey(byte[] key, String name) {
    byte[] nonce = new byte[NONCE_BYTES];
    RANDOM.nextBytes(nonce);
    byte[] wrapped = crypt(Cipher.ENCRYPT_MODE, name, nonce, key);
    ByteBuffer whole = ByteBuffer.allocate(nonce.length + wrapped.length).put(nonce).put(wrapped);
    return Base64.getEncoder().encodeToString(whole.array());
  }

  @Override
  public byte[] unwrapKey(String wrapped, String name) {
    ByteBuffer whole = ByteBuffer.wrap(Base64.getDecoder().decode(wrapped));
    byte[] nonce = new byte[NONCE_BYTES];
    whole.get(nonce);
    byte[] rest = new byte[whole.remaining()];
    whole.get(rest);
    return crypt(Cipher.DECRYPT_MODE, name, nonce, rest);
  }

  private byte[] crypt(int mode, String name, byte[] nonce, byte[] text) {
    SecretKeySpec key = keys.get(name);
    if (key == null) {
      throw new IllegalStateException(
          "NIGHTCART_KEY encryption.key_file " + where() + " has no key " + name);
    }
    try {
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(mode, key, new GCMParameterSpec(TAG_BITS, nonce));
      cipher.updateAAD(name.getBytes(StandardCharsets.UTF_8));
      return cipher.doFinal(text);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(
          "NIGHTCART_KEY encryption.key_file " + where() + " has another key named " + name);
    }
  }

  private String where() {
    try {
      return file + " on " + InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException error) {
      return file;
    }
  }
}
