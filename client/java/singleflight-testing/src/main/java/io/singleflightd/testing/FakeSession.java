// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.testing;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.Chunk;
import io.singleflightd.grpc.v1.End;
import io.singleflightd.grpc.v1.Follow;
import io.singleflightd.grpc.v1.Join;
import io.singleflightd.grpc.v1.Lead;
import io.singleflightd.grpc.v1.Outcome;
import io.singleflightd.grpc.v1.OutcomeKind;
import io.singleflightd.grpc.v1.Renewed;
import io.singleflightd.grpc.v1.Result;
import io.singleflightd.grpc.v1.Role;
import io.singleflightd.grpc.v1.SessionRequest;
import io.singleflightd.grpc.v1.SessionResponse;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One Session stream of the fake server. The server thread's alone. */
final class FakeSession implements StreamObserver<SessionRequest> {
  private static final int CHUNK_BYTES_MAX = 64 * 1024;
  private static final long SILENCE_MS = 60_000;
  private static final long RUN_LIMIT_MS = 24 * 60 * 60 * 1000L;
  private static final int SHARED_BY = 2; // a leader elsewhere, and who gets it

  private record Held(ByteString key, Lead lead) {}

  private final FakeServer server;
  private final StreamObserver<SessionResponse> out;
  private final Map<Long, Held> leads = new HashMap<>(); // by the id of the call

  FakeSession(FakeServer server, StreamObserver<SessionResponse> out) {
    this.server = server;
    this.out = out;
  }

  @Override
  public void onNext(SessionRequest request) {
    request.getCallsList().forEach(this::answer);
  }

  @Override
  public void onError(Throwable gone) {
    server.onSessionOver(this);
  }

  @Override
  public void onCompleted() {
    server.onSessionOver(this);
    out.onCompleted();
  }

  /** As if the connection broke. */
  void cut(Status status) {
    out.onError(status.asRuntimeException());
  }

  private void answer(CallRequest frame) {
    long id = frame.getId();
    switch (frame.getStepCase()) {
      case JOIN -> answerJoin(id, frame.getJoin());
      case RENEW -> {
        if (leads.containsKey(id)) {
          Renewed renewed = Renewed.newBuilder().setId(frame.getRenew().getId()).build();
          send(id, CallResponse.newBuilder().setRenewed(renewed));
        }
      }
      case FINISH -> {
        Held held = leads.remove(id);
        if (held != null) {
          OutcomeKind kind = frame.getFinish().getOutcome().getKind();
          send(id, CallResponse.newBuilder().setResult(confirmation(held.lead, kind)));
        }
      }
      case CANCEL -> {
        leads.remove(id);
        end(id, Status.CANCELLED.withDescription("cancelled"));
      }
      default -> {} // chunks
    }
  }

  private void answerJoin(long id, Join join) {
    Script script = server.onJoin(join);
    switch (script.kind()) {
      case REFUSE -> end(id, script.status());
      case OUTCOME -> {
        if (join.getRole() == Role.ROLE_LEAD_ONLY) {
          end(id, Status.ABORTED.withDescription("somebody else leads: the test says so"));
        } else {
          follow(id);
          deliver(id, script.outcome());
        }
      }
      default -> {
        if (join.getRole() == Role.ROLE_FOLLOW_ONLY) {
          end(id, Status.NOT_FOUND.withDescription("there is nothing to follow"));
        } else {
          lead(id, join, script.kind());
        }
      }
    }
  }

  private void lead(long id, Join join, Script.Kind kind) {
    boolean takesOver = kind == Script.Kind.TAKEOVER;
    if (takesOver) {
      follow(id);
    }
    boolean hasLease = join.getLeaseMs() > 0;
    Lead lead =
        Lead.newBuilder()
            .setToken(join.getResumeToken() != 0 ? join.getResumeToken() : server.nextToken())
            .setAttempt(takesOver ? 2 : 1)
            .setLeaseMs(join.getLeaseMs())
            .setSilenceMs(hasLease ? join.getLeaseMs() : SILENCE_MS)
            .setRunLimitMs(join.getRunLimitMs() > 0 ? join.getRunLimitMs() : RUN_LIMIT_MS)
            .build();
    leads.put(id, new Held(join.getKey(), lead));
    send(id, CallResponse.newBuilder().setLead(lead));
    if (kind == Script.Kind.LOSE) {
      lose(id);
    }
  }

  /** Takes away the leads of the key. */
  void lose(ByteString key) {
    for (long id : List.copyOf(leads.keySet())) {
      if (leads.get(id).key.equals(key)) {
        lose(id);
      }
    }
  }

  private void lose(long id) {
    leads.remove(id);
    end(id, Status.ABORTED.withDescription("the lead is lost: the test says so"));
  }

  private void follow(long id) {
    Follow follow = Follow.newBuilder().setAttempt(1).setLeader("singleflight-testing").build();
    send(id, CallResponse.newBuilder().setFollow(follow));
  }

  private static Result confirmation(Lead lead, OutcomeKind kind) {
    Outcome outcome = Outcome.newBuilder().setKind(kind).build();
    return Result.newBuilder()
        .setOutcome(outcome)
        .setLed(true)
        .setCallers(1)
        .setAttempt(lead.getAttempt())
        .setToken(lead.getToken())
        .build();
  }

  private void deliver(long id, Outcome outcome) {
    ByteString value = outcome.getValue();
    int sent = 0;
    for (int sequence = 0; value.size() - sent > CHUNK_BYTES_MAX; sequence++) {
      ByteString part = value.substring(sent, sent + CHUNK_BYTES_MAX);
      Chunk chunk =
          Chunk.newBuilder().setAttempt(1).setSequence(sequence).setData(part).build();
      send(id, CallResponse.newBuilder().setChunk(chunk));
      sent += CHUNK_BYTES_MAX;
    }
    Result result =
        Result.newBuilder()
            .setOutcome(outcome.toBuilder().setValue(value.substring(sent)))
            .setShared(true)
            .setCallers(SHARED_BY)
            .setAttempt(1)
            .setToken(1)
            .setValueBytes(value.size())
            .build();
    send(id, CallResponse.newBuilder().setResult(result));
  }

  private void end(long id, Status status) {
    End end =
        End.newBuilder()
            .setCode(status.getCode().value())
            .setMessage(status.getDescription() == null ? "" : status.getDescription())
            .build();
    send(id, CallResponse.newBuilder().setEnd(end));
  }

  private void send(long id, CallResponse.Builder frame) {
    out.onNext(SessionResponse.newBuilder().addCalls(frame.setId(id)).build());
  }
}
