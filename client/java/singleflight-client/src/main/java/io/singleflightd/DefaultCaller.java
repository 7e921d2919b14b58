// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** The name of this process for people: program@host:pid. */
final class DefaultCaller {
  private static final Pattern ODD = Pattern.compile("[^A-Za-z0-9._$-]");

  private DefaultCaller() {}

  static String name() {
    long pid = ProcessHandle.current().pid();
    return cut(program(), 40) + "@" + cut(host(), 60) + ":" + pid;
  }

  private static String program() {
    String command = System.getProperty("sun.java.command", "");
    String program = command.split(" ", 2)[0];
    if (program.isEmpty()) {
      return "java";
    }
    if (program.contains("/") || program.endsWith(".jar")) {
      Path file = Path.of(program).getFileName();
      return file == null ? "java" : file.toString();
    }
    return program.substring(program.lastIndexOf('.') + 1);
  }

  private static String host() {
    String name = System.getenv("HOSTNAME");
    if (name != null && !name.isEmpty()) {
      return name;
    }
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException nameless) {
      return "localhost";
    }
  }

  private static String cut(String text, int max) {
    String plain = ODD.matcher(text).replaceAll("_");
    return plain.length() <= max ? plain : plain.substring(0, max);
  }
}
