// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.bench;

import com.google.protobuf.ByteString;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.Finish;
import io.singleflightd.grpc.v1.Join;
import io.singleflightd.grpc.v1.Outcome;
import io.singleflightd.grpc.v1.OutcomeKind;
import io.singleflightd.grpc.v1.SessionRequest;
import io.singleflightd.grpc.v1.SessionResponse;
import io.singleflightd.grpc.v1.SingleFlightGrpc;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The messages of a flight over a grpc-java stream, one frame per message, and nothing else. */
final class Bare implements Bench.Flights {
  private static final Finish FINISH =
      Finish.newBuilder()
          .setOutcome(
              Outcome.newBuilder()
                  .setKind(OutcomeKind.OUTCOME_KIND_OK)
                  .setValue(ByteString.copyFromUtf8("value")))
          .build();

  private final ManagedChannel channel;
  private final StreamObserver<SessionRequest> requests;
  private final Map<Long, Runnable> flights = new ConcurrentHashMap<>();
  private long lastId; // guarded by this, like sending

  Bare(String address) {
    channel =
        NettyChannelBuilder.forTarget(address, InsecureChannelCredentials.create())
            .directExecutor()
            .build();
    requests = SingleFlightGrpc.newStub(channel).session(new Responses());
  }

  @Override
  public synchronized void begin(String key, Runnable onEnd) {
    long id = ++lastId;
    flights.put(id, onEnd);
    Join join = Join.newBuilder().setKey(ByteString.copyFromUtf8(key)).build();
    send(CallRequest.newBuilder().setId(id).setJoin(join));
  }

  private synchronized void send(CallRequest.Builder frame) {
    requests.onNext(SessionRequest.newBuilder().addCalls(frame).build());
  }

  private final class Responses implements StreamObserver<SessionResponse> {
    @Override
    public void onNext(SessionResponse response) {
      for (CallResponse frame : response.getCallsList()) {
        if (frame.hasLead()) {
          send(CallRequest.newBuilder().setId(frame.getId()).setFinish(FINISH));
        } else if (frame.hasResult()) {
          flights.remove(frame.getId()).run();
        } else {
          throw new IllegalStateException("unexpected: " + frame);
        }
      }
    }

    @Override
    public void onError(Throwable thrown) {
      if (!flights.isEmpty()) {
        throw new IllegalStateException(thrown);
      }
    }

    @Override
    public void onCompleted() {}
  }

  @Override
  public void close() {
    requests.onCompleted();
    channel.shutdown();
  }
}
