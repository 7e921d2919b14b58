// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/** Files that may be exchanged while they are used. They are looked at once a second at most. */
final class WatchedFiles {
  static final long LOOK_NANOS = TimeUnit.SECONDS.toNanos(1);

  private final List<Path> paths;
  private final LongSupplier nanoTime;
  private List<Object> marks;
  private long lookedNanos;

  WatchedFiles(List<Path> paths, LongSupplier nanoTime) {
    this.paths = paths;
    this.nanoTime = nanoTime;
    lookedNanos = nanoTime.getAsLong();
    marks = look();
  }

  /** Whether they are others than at the last look. */
  boolean haveChanged() {
    long nowNanos = nanoTime.getAsLong();
    if (nowNanos - lookedNanos < LOOK_NANOS) {
      return false;
    }
    lookedNanos = nowNanos;
    List<Object> before = marks;
    marks = look();
    return !marks.equals(before);
  }

  private List<Object> look() {
    return paths.stream().map(WatchedFiles::markOf).toList();
  }

  private static Object markOf(Path path) {
    try {
      BasicFileAttributes file = Files.readAttributes(path, BasicFileAttributes.class);
      return List.of(String.valueOf(file.fileKey()), file.lastModifiedTime(), file.size());
    } catch (IOException missing) {
      return "missing";
    }
  }

  /** Throws an {@link IllegalArgumentException} that names the option. */
  static byte[] read(String option, Path path) {
    try {
      return Files.readAllBytes(path);
    } catch (IOException failed) {
      throw new IllegalArgumentException(
          option + " " + path + " cannot be read: " + failed, failed);
    }
  }
}
