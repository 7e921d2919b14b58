// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.SessionRequest;
import io.singleflightd.grpc.v1.SessionResponse;
import io.singleflightd.grpc.v1.SingleFlightGrpc;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One Session stream. The loop's alone. */
final class Session {
  private static final int MESSAGE_BYTES_MIN = 1024 * 1024; // a message that is so full goes out
  private static final int MESSAGES_AHEAD = 16;

  final Server server;

  /** The server has taken a join on it. */
  boolean isUp;

  private final Loop loop;
  private final ClientCall<SessionRequest, SessionResponse> stream;
  private final Map<Long, Seat> seats = new LinkedHashMap<>();
  private final ArrayDeque<Seat> ready = new ArrayDeque<>(); // have frames to send, in turn
  private long lastId;
  private boolean flushQueued;
  private boolean retired;
  private boolean halfClosed;
  private boolean over;

  Session(Server server, Loop loop, ManagedChannel channel) {
    this.server = server;
    this.loop = loop;
    // Ready means that the message before is on its way; until then, frames gather.
    stream =
        channel.newCall(
            SingleFlightGrpc.getSessionMethod(), CallOptions.DEFAULT.withOnReadyThreshold(1));
  }

  void open() {
    stream.start(new Listener(), new Metadata());
    stream.request(MESSAGES_AHEAD);
  }

  private final class Listener extends ClientCall.Listener<SessionResponse> {
    @Override
    public void onMessage(SessionResponse message) {
      loop.execute(() -> onResponse(message));
      stream.request(1);
    }

    @Override
    public void onReady() {
      loop.execute(Session.this::queueFlush);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      loop.execute(() -> onOver(status));
    }
  }

  // ---- seats ----

  /** Somebody on it waits for the server. */
  boolean isWanted() {
    return seats.values().stream().anyMatch(seat -> !seat.isLeaving());
  }

  boolean isRetired() {
    return retired;
  }

  /** Seats it, with an id of its own, and has its frames sent. */
  void add(Seat seat) {
    put(seat, ++lastId);
  }

  private void put(Seat seat, long id) {
    seat.session = this;
    seat.id = id;
    seats.put(id, seat);
    ready(seat);
  }

  /** Takes it off. Frames for its id are ignored from now on. */
  void remove(Seat seat) {
    takeOff(seat);
    halfCloseIfIdle();
  }

  private void takeOff(Seat seat) {
    seats.remove(seat.id);
    unready(seat);
    seat.session = null;
  }

  /** Puts `standIn` in the place of `seat`, under the same id. */
  void replace(Seat seat, Seat standIn) {
    takeOff(seat);
    put(standIn, seat.id);
  }

  /** It has frames to send: it gets its turn soon. */
  void ready(Seat seat) {
    if (!seat.isReady) {
      seat.isReady = true;
      ready.add(seat);
    }
    queueFlush();
  }

  void unready(Seat seat) {
    if (seat.isReady) {
      seat.isReady = false;
      ready.remove(seat);
    }
  }

  // ---- sending ----

  // What is ready by the end of the tasks at hand goes out together.
  private void queueFlush() {
    if (!flushQueued && !over) {
      flushQueued = true;
      loop.execute(this::flush);
    }
  }

  private void flush() {
    flushQueued = false;
    if (over || halfClosed) {
      return;
    }
    while (!ready.isEmpty() && stream.isReady()) {
      SessionRequest message = gather();
      if (message.getCallsCount() > 0) {
        stream.sendMessage(message);
      }
    }
  }

  /** One frame of each seat in turn, until the message is full. */
  private SessionRequest gather() {
    SessionRequest.Builder message = SessionRequest.newBuilder();
    int size = 0;
    while (size < MESSAGE_BYTES_MIN && !ready.isEmpty()) {
      Seat seat = ready.remove();
      seat.isReady = false;
      CallRequest frame = seat.nextFrame();
      if (frame == null) {
        continue;
      }
      message.addCalls(frame);
      size += frame.getSerializedSize();
      if (seat.hasMore()) {
        seat.isReady = true;
        ready.add(seat);
      }
    }
    return message.build();
  }

  // ---- ends ----

  /** Takes no new seats; ends with its last one. */
  void retire() {
    retired = true;
    server.onSessionRetired(this);
    halfCloseIfIdle();
  }

  private void halfCloseIfIdle() {
    if (retired && seats.isEmpty() && !halfClosed && !over) {
      halfClosed = true;
      stream.halfClose();
    }
  }

  /** Ends the stream now, whatever is under way. */
  void cut() {
    retire();
    if (!over) {
      halfClosed = true; // nothing may be said on a stream that was cancelled
      stream.cancel("the client ends the session", null);
    }
  }

  private void onResponse(SessionResponse message) {
    for (CallResponse frame : message.getCallsList()) {
      Seat seat = seats.get(frame.getId());
      if (seat != null) {
        seat.onFrame(frame);
      }
    }
  }

  private void onOver(Status status) {
    over = true;
    retired = true;
    server.onSessionOver(this, status);
    // What happens to one seat may end others.
    for (Seat seat : List.copyOf(seats.values())) {
      if (seat.session == this) {
        takeOff(seat);
        seat.onSessionOver(status);
      }
    }
  }
}
