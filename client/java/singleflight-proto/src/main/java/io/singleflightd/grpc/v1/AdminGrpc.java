package io.singleflightd.grpc.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * What operators and dashboards use.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class AdminGrpc {

  private AdminGrpc() {}

  public static final java.lang.String SERVICE_NAME = "singleflight.v1.Admin";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.ListFlightsRequest,
      io.singleflightd.grpc.v1.Flight> getListFlightsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListFlights",
      requestType = io.singleflightd.grpc.v1.ListFlightsRequest.class,
      responseType = io.singleflightd.grpc.v1.Flight.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.ListFlightsRequest,
      io.singleflightd.grpc.v1.Flight> getListFlightsMethod() {
    io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.ListFlightsRequest, io.singleflightd.grpc.v1.Flight> getListFlightsMethod;
    if ((getListFlightsMethod = AdminGrpc.getListFlightsMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getListFlightsMethod = AdminGrpc.getListFlightsMethod) == null) {
          AdminGrpc.getListFlightsMethod = getListFlightsMethod =
              io.grpc.MethodDescriptor.<io.singleflightd.grpc.v1.ListFlightsRequest, io.singleflightd.grpc.v1.Flight>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListFlights"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.ListFlightsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.Flight.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("ListFlights"))
              .build();
        }
      }
    }
    return getListFlightsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.GetStatsRequest,
      io.singleflightd.grpc.v1.Stats> getGetStatsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetStats",
      requestType = io.singleflightd.grpc.v1.GetStatsRequest.class,
      responseType = io.singleflightd.grpc.v1.Stats.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.GetStatsRequest,
      io.singleflightd.grpc.v1.Stats> getGetStatsMethod() {
    io.grpc.MethodDescriptor<io.singleflightd.grpc.v1.GetStatsRequest, io.singleflightd.grpc.v1.Stats> getGetStatsMethod;
    if ((getGetStatsMethod = AdminGrpc.getGetStatsMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getGetStatsMethod = AdminGrpc.getGetStatsMethod) == null) {
          AdminGrpc.getGetStatsMethod = getGetStatsMethod =
              io.grpc.MethodDescriptor.<io.singleflightd.grpc.v1.GetStatsRequest, io.singleflightd.grpc.v1.Stats>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetStats"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.GetStatsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.singleflightd.grpc.v1.Stats.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("GetStats"))
              .build();
        }
      }
    }
    return getGetStatsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static AdminStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminStub>() {
        @java.lang.Override
        public AdminStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminStub(channel, callOptions);
        }
      };
    return AdminStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static AdminBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminBlockingV2Stub>() {
        @java.lang.Override
        public AdminBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminBlockingV2Stub(channel, callOptions);
        }
      };
    return AdminBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static AdminBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminBlockingStub>() {
        @java.lang.Override
        public AdminBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminBlockingStub(channel, callOptions);
        }
      };
    return AdminBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static AdminFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminFutureStub>() {
        @java.lang.Override
        public AdminFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminFutureStub(channel, callOptions);
        }
      };
    return AdminFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * What operators and dashboards use.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Sends one message for each flight and retained outcome that matches, then ends. A listing is
     * not a snapshot: what begins or ends while it runs may or may not be in it.
     * </pre>
     */
    default void listFlights(io.singleflightd.grpc.v1.ListFlightsRequest request,
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.Flight> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListFlightsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Counters since the server started, and what is there now.
     * </pre>
     */
    default void getStats(io.singleflightd.grpc.v1.GetStatsRequest request,
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.Stats> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetStatsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Admin.
   * <pre>
   * What operators and dashboards use.
   * </pre>
   */
  public static abstract class AdminImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return AdminGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Admin.
   * <pre>
   * What operators and dashboards use.
   * </pre>
   */
  public static final class AdminStub
      extends io.grpc.stub.AbstractAsyncStub<AdminStub> {
    private AdminStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminStub(channel, callOptions);
    }

    /**
     * <pre>
     * Sends one message for each flight and retained outcome that matches, then ends. A listing is
     * not a snapshot: what begins or ends while it runs may or may not be in it.
     * </pre>
     */
    public void listFlights(io.singleflightd.grpc.v1.ListFlightsRequest request,
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.Flight> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getListFlightsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Counters since the server started, and what is there now.
     * </pre>
     */
    public void getStats(io.singleflightd.grpc.v1.GetStatsRequest request,
        io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.Stats> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetStatsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Admin.
   * <pre>
   * What operators and dashboards use.
   * </pre>
   */
  public static final class AdminBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<AdminBlockingV2Stub> {
    private AdminBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Sends one message for each flight and retained outcome that matches, then ends. A listing is
     * not a snapshot: what begins or ends while it runs may or may not be in it.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, io.singleflightd.grpc.v1.Flight>
        listFlights(io.singleflightd.grpc.v1.ListFlightsRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getListFlightsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Counters since the server started, and what is there now.
     * </pre>
     */
    public io.singleflightd.grpc.v1.Stats getStats(io.singleflightd.grpc.v1.GetStatsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetStatsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Admin.
   * <pre>
   * What operators and dashboards use.
   * </pre>
   */
  public static final class AdminBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<AdminBlockingStub> {
    private AdminBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Sends one message for each flight and retained outcome that matches, then ends. A listing is
     * not a snapshot: what begins or ends while it runs may or may not be in it.
     * </pre>
     */
    public java.util.Iterator<io.singleflightd.grpc.v1.Flight> listFlights(
        io.singleflightd.grpc.v1.ListFlightsRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getListFlightsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Counters since the server started, and what is there now.
     * </pre>
     */
    public io.singleflightd.grpc.v1.Stats getStats(io.singleflightd.grpc.v1.GetStatsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetStatsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Admin.
   * <pre>
   * What operators and dashboards use.
   * </pre>
   */
  public static final class AdminFutureStub
      extends io.grpc.stub.AbstractFutureStub<AdminFutureStub> {
    private AdminFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Counters since the server started, and what is there now.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.singleflightd.grpc.v1.Stats> getStats(
        io.singleflightd.grpc.v1.GetStatsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetStatsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_FLIGHTS = 0;
  private static final int METHODID_GET_STATS = 1;

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
        case METHODID_LIST_FLIGHTS:
          serviceImpl.listFlights((io.singleflightd.grpc.v1.ListFlightsRequest) request,
              (io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.Flight>) responseObserver);
          break;
        case METHODID_GET_STATS:
          serviceImpl.getStats((io.singleflightd.grpc.v1.GetStatsRequest) request,
              (io.grpc.stub.StreamObserver<io.singleflightd.grpc.v1.Stats>) responseObserver);
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
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getListFlightsMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              io.singleflightd.grpc.v1.ListFlightsRequest,
              io.singleflightd.grpc.v1.Flight>(
                service, METHODID_LIST_FLIGHTS)))
        .addMethod(
          getGetStatsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.singleflightd.grpc.v1.GetStatsRequest,
              io.singleflightd.grpc.v1.Stats>(
                service, METHODID_GET_STATS)))
        .build();
  }

  private static abstract class AdminBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    AdminBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.singleflightd.grpc.v1.SingleFlightProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Admin");
    }
  }

  private static final class AdminFileDescriptorSupplier
      extends AdminBaseDescriptorSupplier {
    AdminFileDescriptorSupplier() {}
  }

  private static final class AdminMethodDescriptorSupplier
      extends AdminBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    AdminMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (AdminGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new AdminFileDescriptorSupplier())
              .addMethod(getListFlightsMethod())
              .addMethod(getGetStatsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
