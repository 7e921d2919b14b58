// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** A relay between clients and a server, whose connections a test can cut. */
final class Relay implements AutoCloseable {
  private final ServerSocket listening;
  private final String serverHost;
  private final int serverPort;
  private final List<Socket> sockets = new ArrayList<>(); // guarded by itself
  private boolean refuses; // guarded by sockets
  private boolean swallowsNext; // guarded by sockets
  private final Set<Socket> swallowed = ConcurrentHashMap.newKeySet();

  Relay(String address) {
    int colon = address.lastIndexOf(':');
    serverHost = address.substring(0, colon);
    serverPort = Integer.parseInt(address.substring(colon + 1));
    try {
      listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
    start(this::accept);
  }

  String address() {
    return "127.0.0.1:" + listening.getLocalPort();
  }

  /** Closes every connection; those that come later are closed at once, until accept(). */
  void cut(boolean refusesLater) {
    synchronized (sockets) {
      refuses = refusesLater;
      sockets.forEach(Relay::end);
      sockets.clear();
    }
  }

  /** What is said on the connections that are there is lost from now on; they stay open. */
  void swallow() {
    synchronized (sockets) {
      swallowed.addAll(sockets);
    }
  }

  /** The same for the next connection, from its beginning. */
  void swallowNext() {
    synchronized (sockets) {
      swallowsNext = true;
    }
  }

  void acceptAgain() {
    synchronized (sockets) {
      refuses = false;
    }
  }

  private void accept() {
    while (!listening.isClosed()) {
      try {
        Socket client = listening.accept();
        synchronized (sockets) {
          if (refuses) {
            end(client);
            continue;
          }
          Socket server = new Socket(serverHost, serverPort);
          sockets.add(client);
          sockets.add(server);
          if (swallowsNext) {
            swallowsNext = false;
            swallowed.add(client);
            swallowed.add(server);
          }
          start(() -> pump(client, server));
          start(() -> pump(server, client));
        }
      } catch (IOException closed) {
        // The test is over, or the server is away: the client sees a connection that ends.
      }
    }
  }

  private void pump(Socket from, Socket to) {
    byte[] bytes = new byte[16 * 1024];
    try {
      int count;
      while ((count = from.getInputStream().read(bytes)) >= 0) {
        if (!swallowed.contains(from)) {
          to.getOutputStream().write(bytes, 0, count);
        }
      }
    } catch (IOException cut) {
      // Ends below.
    }
    end(from);
    end(to);
  }

  private static void end(Socket socket) {
    try {
      socket.close();
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  private static void start(Runnable work) {
    Thread thread = new Thread(work, "relay");
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void close() {
    try {
      listening.close();
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
    cut(true);
  }
}
