// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.BindableService;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.SessionRequest;
import io.singleflightd.grpc.v1.SessionResponse;
import io.singleflightd.grpc.v1.SingleFlightGrpc;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BiConsumer;

/** A server that says what a test likes. */
final class FakeServer implements AutoCloseable {
  // grpc never gives back the shared one that a server with TLS takes.
  private final ExecutorService executor = Executors.newCachedThreadPool();
  private final Server server;

  FakeServer(BindableService... services) throws IOException {
    this(InsecureServerCredentials.create(), services);
  }

  FakeServer(ServerCredentials credentials, BindableService... services) throws IOException {
    NettyServerBuilder builder =
        NettyServerBuilder.forAddress(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), credentials);
    builder.executor(executor);
    for (BindableService service : services) {
      builder.addService(service);
    }
    server = builder.build().start();
  }

  /** Answers each frame of the client. */
  static BindableService session(
      BiConsumer<CallRequest, StreamObserver<SessionResponse>> answer) {
    return new SingleFlightGrpc.SingleFlightImplBase() {
      @Override
      public StreamObserver<SessionRequest> session(StreamObserver<SessionResponse> out) {
        return new StreamObserver<>() {
          @Override
          public void onNext(SessionRequest request) {
            request.getCallsList().forEach(frame -> answer.accept(frame, out));
          }

          @Override
          public void onError(Throwable thrown) {}

          @Override
          public void onCompleted() {
            out.onCompleted();
          }
        };
      }
    };
  }

  String address() {
    return "127.0.0.1:" + server.getPort();
  }

  static void send(StreamObserver<SessionResponse> out, CallResponse.Builder frame) {
    SessionResponse message = SessionResponse.newBuilder().addCalls(frame).build();
    synchronized (out) {
      out.onNext(message);
    }
  }

  static CallResponse.Builder to(CallRequest frame) {
    return CallResponse.newBuilder().setId(frame.getId());
  }

  static io.singleflightd.grpc.v1.Result.Builder ok(String value, long valueBytes) {
    return io.singleflightd.grpc.v1.Result.newBuilder()
        .setOutcome(
            io.singleflightd.grpc.v1.Outcome.newBuilder()
                .setKind(io.singleflightd.grpc.v1.OutcomeKind.OUTCOME_KIND_OK)
                .setValue(ByteString.copyFromUtf8(value)))
        .setCallers(1)
        .setValueBytes(valueBytes);
  }

  @Override
  public void close() {
    server.shutdownNow();
    try {
      server.awaitTermination();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    executor.shutdown();
  }
}
