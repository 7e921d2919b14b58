// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A CA of a test's own and what it has signed: server, alice, bob. */
final class Certificates {
  private static final Path MAKER = Path.of("../../../tests/support/certificates");

  final Path folder;

  Certificates(Path folder) {
    this.folder = folder;
    make();
  }

  /** As that script takes them, the folder left out. */
  void make(String... arguments) {
    makeIn(folder, arguments);
  }

  static void makeIn(Path folder, String... arguments) {
    List<String> command = new ArrayList<>(List.of(MAKER.toString(), folder.toString()));
    command.addAll(List.of(arguments));
    try {
      int status = new ProcessBuilder(command).inheritIO().start().waitFor();
      if (status != 0) {
        throw new IllegalStateException(command + " ended with " + status);
      }
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  String path(String name) {
    return folder.resolve(name).toString();
  }

  /** Exchanges a file at once, as programs do that renew certificates and tokens. */
  static void write(Path path, String text) {
    try {
      Path written = Files.writeString(path.resolveSibling(path.getFileName() + ".new"), text);
      Files.move(written, path, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }
}
