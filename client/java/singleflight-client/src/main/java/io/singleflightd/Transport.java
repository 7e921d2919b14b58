// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.IoHandlerFactory;
import io.grpc.netty.shaded.io.netty.channel.MultiThreadIoEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.Epoll;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollIoHandler;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.nio.NioIoHandler;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.netty.shaded.io.netty.util.concurrent.DefaultThreadFactory;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The connections of a client, and the one thread that serves them. */
final class Transport {
  static final int MESSAGE_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024;
  private static final String UNIX = "unix:";
  private static final int PORT_MAX = 65_535;
  private static final Pattern HOST_AND_PORT =
      Pattern.compile("(?:[^/:\\s\\[\\]]+|\\[[0-9A-Fa-f:.%a-z]+\\]):([0-9]{1,5})");

  private final Settings settings;
  private final Executor blocking;
  private final EventLoopGroup group;

  /** `blocking` looks up names. */
  Transport(Settings settings, Executor blocking) {
    this.settings = settings;
    this.blocking = blocking;
    DefaultThreadFactory threads = new DefaultThreadFactory("singleflight-io", true);
    group = newGroup(threads);
  }

  private static EventLoopGroup newGroup(DefaultThreadFactory threads) {
    IoHandlerFactory handler =
        Epoll.isAvailable() ? EpollIoHandler.newFactory() : NioIoHandler.newFactory();
    return new MultiThreadIoEventLoopGroup(1, threads, handler);
  }

  ScheduledExecutorService scheduler() {
    return group;
  }

  static boolean isUnix(String address) {
    return address.startsWith(UNIX);
  }

  /** Throws a {@link IllegalArgumentException} if no connection could ever be made of it. */
  static void checkAddress(String address) {
    if (isUnix(address)) {
      if (!Epoll.isAvailable()) {
        throw new IllegalArgumentException(
            "the address " + address + " needs Linux: give a \"host:port\" here");
      }
      if (address.length() > UNIX.length()) {
        return;
      }
    }
    Matcher parts = HOST_AND_PORT.matcher(address);
    if (!parts.matches()) {
      throw new IllegalArgumentException(
          "the address \"" + address + "\" is none: \"host:port\" or \"unix:/path\" is wanted");
    }
    int port = Integer.parseInt(parts.group(1));
    if (port < 1 || port > PORT_MAX) {
      throw new IllegalArgumentException(
          "the address \"" + address + "\" is none: a port is 1 to " + PORT_MAX);
    }
  }

  /** A connection of its own, made when it is needed. */
  ManagedChannel connect(String address) {
    Function<String, ManagedChannelBuilder<?>> elsewhere = settings.channels();
    ManagedChannelBuilder<?> builder =
        elsewhere == null ? builder(address) : elsewhere.apply(address);
    return builder
        .intercept(settings.security().interceptors())
        .directExecutor()
        .offloadExecutor(blocking)
        .disableRetry()
        .maxInboundMessageSize(MESSAGE_BYTES_MAX)
        .build();
  }

  private ManagedChannelBuilder<?> builder(String address) {
    Security security = settings.security();
    ChannelCredentials credentials = security.credentials(address);
    NettyChannelBuilder builder;
    if (isUnix(address)) {
      String path = address.substring(UNIX.length()).replaceFirst("^///", "/");
      builder =
          NettyChannelBuilder.forAddress(new DomainSocketAddress(path), credentials)
              .channelType(EpollDomainSocketChannel.class)
              .overrideAuthority("localhost");
    } else {
      builder =
          NettyChannelBuilder.forTarget(address, credentials)
              .channelType(Epoll.isAvailable() ? EpollSocketChannel.class : NioSocketChannel.class);
      if (!security.serverName().isEmpty()) {
        builder.overrideAuthority(security.serverName());
      }
    }
    return builder
        .eventLoopGroup(group)
        .keepAliveTime(settings.keepaliveTimeMs(), TimeUnit.MILLISECONDS)
        .keepAliveTimeout(settings.keepaliveTimeoutMs(), TimeUnit.MILLISECONDS);
  }

  void close() {
    group
        .shutdownGracefully(0, 1, TimeUnit.SECONDS)
        .awaitUninterruptibly(2, TimeUnit.SECONDS);
  }
}
