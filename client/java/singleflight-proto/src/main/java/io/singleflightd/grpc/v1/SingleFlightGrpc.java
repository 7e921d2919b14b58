package io.singleflightd.grpc.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * What callers use.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class SingleFlightGrpc {

  private SingleFlightGrpc() {}

  public static final java.lang.String SERVICE_NAME = "singleflight.v1.SingleFlight";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.DoRequest,
      io.singleflightd.grpc.v1.DoResponse> getDoMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Do",
      requestType = io.singleflightd.grpc.v1.DoRequest.class,
      responseType = io.singleflightd.grpc.v1.DoResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.DoRequest,
      io.singleflightd.grpc.v1.DoResponse> getDoMethod() {
    io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.DoRequest, io.singleflightd.grpc.v1.DoResponse> getDoMethod;
    if ((getDoMethod = SingleFlightGrpc.getDoMethod) == null) {
      synchronized (SingleFlightGrpc.class) {
        if ((getDoMethod = SingleFlightGrpc.getDoMethod) == null) {
          SingleFlightGrpc.getDoMethod = getDoMethod =
              io.grpc.MethodDescriptor.<io.singleflightd.grpc.v1.DoRequest, io.singleflightd.grpc.v1.DoResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Do"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.DoRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.DoResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SingleFlightMethodDescriptorSupplier("Do"))
              .build();
        }
      }
    }
    return getDoMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.SessionRequest,
      io.singleflightd.grpc.v1.SessionResponse> getSessionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Session",
      requestType = io.singleflightd.grpc.v1.SessionRequest.class,
      responseType = io.singleflightd.grpc.v1.SessionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.SessionRequest,
      io.singleflightd.grpc.v1.SessionResponse> getSessionMethod() {
    io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.SessionRequest, io.singleflightd.grpc.v1.SessionResponse> getSessionMethod;
    if ((getSessionMethod = SingleFlightGrpc.getSessionMethod) == null) {
      synchronized (SingleFlightGrpc.class) {
        if ((getSessionMethod = SingleFlightGrpc.getSessionMethod) == null) {
          SingleFlightGrpc.getSessionMethod = getSessionMethod =
              io.grpc.MethodDescriptor.<io.singleflightd.grpc.v1.SessionRequest, io.singleflightd.grpc.v1.SessionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Session"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.SessionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.SessionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SingleFlightMethodDescriptorSupplier("Session"))
              .build();
        }
      }
    }
    return getSessionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.ForgetRequest,
      io.singleflightd.grpc.v1.ForgetResponse> getForgetMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Forget",
      requestType = io.singleflightd.grpc.v1.ForgetRequest.class,
      responseType = io.singleflightd.grpc.v1.ForgetResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.ForgetRequest,
      io.singleflightd.grpc.v1.ForgetResponse> getForgetMethod() {
    io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.ForgetRequest, io.singleflightd.grpc.v1.ForgetResponse> getForgetMethod;
    if ((getForgetMethod = SingleFlightGrpc.getForgetMethod) == null) {
      synchronized (SingleFlightGrpc.class) {
        if ((getForgetMethod = SingleFlightGrpc.getForgetMethod) == null) {
          SingleFlightGrpc.getForgetMethod = getForgetMethod =
              io.grpc.MethodDescriptor.<io.singleflightd.grpc.v1.ForgetRequest, io.singleflightd.grpc.v1.ForgetResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Forget"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.ForgetRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.ForgetResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SingleFlightMethodDescriptorSupplier("Forget"))
              .build();
        }
      }
    }
    return getForgetMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static SingleFlightStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SingleFlightStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SingleFlightStub>() {
        @java.lang.Override
        public SingleFlightStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SingleFlightStub(channel, callOptions);
        }
      };
    return SingleFlightStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static SingleFlightBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SingleFlightBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SingleFlightBlockingV2Stub>() {
        @java.lang.Override
        public SingleFlightBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SingleFlightBlockingV2Stub(channel, callOptions);
        }
      };
    return SingleFlightBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static SingleFlightBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SingleFlightBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SingleFlightBlockingStub>() {
        @java.lang.Override
        public SingleFlightBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SingleFlightBlockingStub(channel, callOptions);
        }
      };
    return SingleFlightBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static SingleFlightFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SingleFlightFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SingleFlightFutureStub>() {
        @java.lang.Override
        public SingleFlightFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SingleFlightFutureStub(channel, callOptions);
        }
      };
    return SingleFlightFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * What callers use.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * One stream is one caller. The client sends `join`; then, only while it leads, any number of
     * `chunk` and `renew`, and at last one `finish`. The server sends `lead` or `follow` at once (or,
     * for a retained outcome, chunks and `result` alone), then what the caller waits for, at last
     * `result`, and ends the stream with status OK.
     * Half-close says "no more steps": a waiting follower waits on but is never promoted; a leader
     * that has not sent `finish` leaves. The stream's gRPC deadline is this caller's deadline, and
     * cancelling it removes this caller only.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.DoRequest> do_(
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.DoResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getDoMethod(), responseObserver);
    }

    /**
     * <pre>
     * One stream is many callers, each with an id that the client chooses. A call on it means exactly
     * what the same Do stream means. The end of the stream is the end of all its calls; a half-close
     * is a half-close of each of them, and the stream ends OK when everything that its calls wait for
     * has been delivered.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.SessionRequest> session(
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.SessionResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getSessionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Makes the next caller of a key start a new flight, and drops the key's retained outcome. The
     * callers of a flight that is forgotten stay together and end as usual; its outcome is not
     * retained. Forgetting nothing is no error.
     * </pre>
     */
    default void forget(io.singleflightd.grpc.v1.ForgetRequest request,
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.ForgetResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getForgetMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service SingleFlight.
   * <pre>
   * What callers use.
   * </pre>
   */
  public static abstract class SingleFlightImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return SingleFlightGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service SingleFlight.
   * <pre>
   * What callers use.
   * </pre>
   */
  public static final class SingleFlightStub
      extends io.grpc.stub.AbstractAsyncStub<SingleFlightStub> {
    private SingleFlightStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SingleFlightStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SingleFlightStub(channel, callOptions);
    }

    /**
     * <pre>
     * One stream is one caller. The client sends `join`; then, only while it leads, any number of
     * `chunk` and `renew`, and at last one `finish`. The server sends `lead` or `follow` at once (or,
     * for a retained outcome, chunks and `result` alone), then what the caller waits for, at last
     * `result`, and ends the stream with status OK.
     * Half-close says "no more steps": a waiting follower waits on but is never promoted; a leader
     * that has not sent `finish` leaves. The stream's gRPC deadline is this caller's deadline, and
     * cancelling it removes this caller only.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.DoRequest> do_(
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.DoResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getDoMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * One stream is many callers, each with an id that the client chooses. A call on it means exactly
     * what the same Do stream means. The end of the stream is the end of all its calls; a half-close
     * is a half-close of each of them, and the stream ends OK when everything that its calls wait for
     * has been delivered.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.SessionRequest> session(
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.SessionResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getSessionMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Makes the next caller of a key start a new flight, and drops the key's retained outcome. The
     * callers of a flight that is forgotten stay together and end as usual; its outcome is not
     * retained. Forgetting nothing is no error.
     * </pre>
     */
    public void forget(io.singleflightd.grpc.v1.ForgetRequest request,
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.ForgetResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getForgetMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service SingleFlight.
   * <pre>
   * What callers use.
   * </pre>
   */
  public static final class SingleFlightBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<SingleFlightBlockingV2Stub> {
    private SingleFlightBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SingleFlightBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SingleFlightBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * One stream is one caller. The client sends `join`; then, only while it leads, any number of
     * `chunk` and `renew`, and at last one `finish`. The server sends `lead` or `follow` at once (or,
     * for a retained outcome, chunks and `result` alone), then what the caller waits for, at last
     * `result`, and ends the stream with status OK.
     * Half-close says "no more steps": a waiting follower waits on but is never promoted; a leader
     * that has not sent `finish` leaves. The stream's gRPC deadline is this caller's deadline, and
     * cancelling it removes this caller only.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<io.singleflightd.grpc.v1.DoRequest, io.singleflightd.grpc.v1.DoResponse>
        do_() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getDoMethod(), getCallOptions());
    }

    /**
     * <pre>
     * One stream is many callers, each with an id that the client chooses. A call on it means exactly
     * what the same Do stream means. The end of the stream is the end of all its calls; a half-close
     * is a half-close of each of them, and the stream ends OK when everything that its calls wait for
     * has been delivered.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<io.singleflightd.grpc.v1.SessionRequest, io.singleflightd.grpc.v1.SessionResponse>
        session() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getSessionMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Makes the next caller of a key start a new flight, and drops the key's retained outcome. The
     * callers of a flight that is forgotten stay together and end as usual; its outcome is not
     * retained. Forgetting nothing is no error.
     * </pre>
     */
    public io.singleflightd.grpc.v1.ForgetResponse forget(io.singleflightd.grpc.v1.ForgetRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getForgetMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service SingleFlight.
   * <pre>
   * What callers use.
   * </pre>
   */
  public static final class SingleFlightBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<SingleFlightBlockingStub> {
    private SingleFlightBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SingleFlightBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SingleFlightBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes the next caller of a key start a new flight, and drops the key's retained outcome. The
     * callers of a flight that is forgotten stay together and end as usual; its outcome is not
     * retained. Forgetting nothing is no error.
     * </pre>
     */
    public io.singleflightd.grpc.v1.ForgetResponse forget(io.singleflightd.grpc.v1.ForgetRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getForgetMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service SingleFlight.
   * <pre>
   * What callers use.
   * </pre>
   */
  public static final class SingleFlightFutureStub
      extends io.grpc.stub.AbstractFutureStub<SingleFlightFutureStub> {
    private SingleFlightFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SingleFlightFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SingleFlightFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes the next caller of a key start a new flight, and drops the key's retained outcome. The
     * callers of a flight that is forgotten stay together and end as usual; its outcome is not
     * retained. Forgetting nothing is no error.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.singleflightd.grpc.v1.ForgetResponse> forget(
        io.singleflightd.grpc.v1.ForgetRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getForgetMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_FORGET = 0;
  private static final int METHODID_DO = 1;
  private static final int METHODID_SESSION = 2;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_FORGET:
          serviceImpl.forget((io.singleflightd.grpc.v1.ForgetRequest) request,
              (io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.ForgetResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_DO:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.do_(
              (io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.DoResponse>) responseObserver);
        case METHODID_SESSION:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.session(
              (io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.SessionResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getDoMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              io.singleflightd.grpc.v1.DoRequest,
              io.singleflightd.grpc.v1.DoResponse>(
                service, METHODID_DO)))
        .addMethod(
          getSessionMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              io.singleflightd.grpc.v1.SessionRequest,
              io.singleflightd.grpc.v1.SessionResponse>(
                service, METHODID_SESSION)))
        .addMethod(
          getForgetMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.singleflightd.grpc.v1.ForgetRequest,
              io.singleflightd.grpc.v1.ForgetResponse>(
                service, METHODID_FORGET)))
        .build();
  }

  private static abstract class SingleFlightBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    SingleFlightBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.singleflightd.grpc.v1.SingleFlightProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("SingleFlight");
    }
  }

  private static final class SingleFlightFileDescriptorSupplier
      extends SingleFlightBaseDescriptorSupplier {
    SingleFlightFileDescriptorSupplier() {}
  }

  private static final class SingleFlightMethodDescriptorSupplier
      extends SingleFlightBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    SingleFlightMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (SingleFlightGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new SingleFlightFileDescriptorSupplier())
              .addMethod(getDoMethod())
              .addMethod(getSessionMethod())
              .addMethod(getForgetMethod())
              .build();
        }
      }
    }
    return result;
  }
}
