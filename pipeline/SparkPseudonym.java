package nightcart;

import java.io.IOException;
import java.io.Serializable;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataTypes;

/**
 * The pseudonym of an id, as pipeline/pseudonym.py makes it: HMAC-SHA-256, 32 hexadecimal digits.
 *
 * Plans, broadcasts and event logs hold where the key lies and its fingerprint. The key itself is
 * read by each process that hashes, and is in the heap of these alone.
 */
public class SparkPseudonym implements UDF1<byte[], byte[]>, Serializable {
  private static final long serialVersionUID = 1L;
  private static final String HMAC = "HmacSHA256";
  private static final byte[] DIGITS = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
  // As pipeline/lake_key.py has it.
  private static final byte[] FINGERPRINT_OF =
      "nightcart: which key is this?".getBytes(StandardCharsets.US_ASCII);
  private static final int FINGERPRINT_BYTES = 8;
  private static final int PSEUDONYM_BYTES = 16;

  private final String file;
  private final String fingerprint;
  private transient ThreadLocal<Mac> macs;

  private SparkPseudonym(String file, String fingerprint) {
    this.file = file;
    this.fingerprint = fingerprint;
  }

  /** The pseudonym of a binary column: the digits as bytes. */
  public static Column column(Column value, String file, String fingerprint) {
    SparkPseudonym hash = new SparkPseudonym(file, fingerprint);
    return functions.udf(hash, DataTypes.BinaryType).withName("pseudonym").apply(value);
  }

  @Override
  public byte[] call(byte[] value) throws Exception {
    if (value == null) {
      return null;
    }
    byte[] hash = mac().doFinal(value);
    byte[] digits = new byte[2 * PSEUDONYM_BYTES];
    for (int at = 0; at < PSEUDONYM_BYTES; at++) {
      digits[2 * at] = DIGITS[(hash[at] >> 4) & 0xf];
      digits[2 * at + 1] = DIGITS[hash[at] & 0xf];
    }
    return digits;
  }

  private Mac mac() throws IOException, GeneralSecurityException {
    ThreadLocal<Mac> known;
    synchronized (this) {
      if (macs == null) {
        macs = new ThreadLocal<>();
      }
      known = macs;
    }
    Mac mac = known.get();
    if (mac == null) {
      mac = open();
      known.set(mac);
    }
    return mac;
  }

  private Mac open() throws IOException, GeneralSecurityException {
    byte[] key;
    try {
      key = stripped(Files.readAllBytes(Paths.get(file)));
    } catch (IOException error) {
      throw new IllegalStateException(
          "NIGHTCART_KEY privacy.key_file "
              + where()
              + " cannot be read; each machine of the cluster needs the file");
    }
    Mac mac = Mac.getInstance(HMAC);
    mac.init(new SecretKeySpec(key, HMAC));
    byte[] found = Arrays.copyOf(mac.doFinal(FINGERPRINT_OF), FINGERPRINT_BYTES);
    if (!HexFormat.of().formatHex(found).equals(fingerprint)) {
      throw new IllegalStateException(
          "NIGHTCART_KEY privacy.key_file "
              + where()
              + " holds another key than the lake was made with");
    }
    return mac;
  }

  private String where() {
    try {
      return file + " on " + InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException error) {
      return file;
    }
  }

  /** Without white space at either end, as Python's bytes.strip(). */
  private static byte[] stripped(byte[] text) {
    int from = 0;
    int to = text.length;
    while (from < to && isSpace(text[from])) {
      from++;
    }
    while (to > from && isSpace(text[to - 1])) {
      to--;
    }
    return Arrays.copyOfRange(text, from, to);
  }

  private static boolean isSpace(byte value) {
    return value == ' ' || (value >= '\t' && value <= '\r');
  }
}
