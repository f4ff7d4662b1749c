package nightcart;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import java.util.Set;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/**
 * Hadoop's local file system, without a process for each file and directory.
 *
 * Without its native library, which pip's PySpark lacks, Hadoop starts a `chmod` for everything that
 * it makes: three for a day's file (its directory, the file, its hidden .crc). Permissions are set
 * here by this process, and no .crc is written or asked for: the lake's manifests have the SHA-256.
 *
 * spark_extras.jar is made of this by scripts/spark_extras_jar.sh.
 */
public class SparkLocalFiles extends LocalFileSystem {
  public SparkLocalFiles() {
    super(new InThisProcess());
    setWriteChecksum(false);
    setVerifyChecksum(false);
  }

  private static class InThisProcess extends RawLocalFileSystem {
    @Override
    public void setPermission(Path path, FsPermission permission) throws IOException {
      Set<PosixFilePermission> allowed = EnumSet.noneOf(PosixFilePermission.class);
      for (PosixFilePermission each : PosixFilePermission.values()) { // OWNER_READ first
        if ((permission.toShort() & (0400 >> each.ordinal())) != 0) {
          allowed.add(each);
        }
      }
      if (permission.getStickyBit()) {
        super.setPermission(path, permission);
        return;
      }
      java.nio.file.Path file = pathToFile(path).toPath();
      // Not where nothing changes: it would take the group's bit of a shared directory away.
      if (!Files.getPosixFilePermissions(file).equals(allowed)) {
        Files.setPosixFilePermissions(file, allowed);
      }
    }
  }
}
