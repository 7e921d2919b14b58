// SPDX-License-Identifier: Apache-2.0
//! Writes src/pb from the proto files: client/rust/generate runs it.

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (protos, out) = match (arguments.next(), arguments.next()) {
        (Some(protos), Some(out)) => (protos, out),
        _ => panic!("usage: singleflightd-stubs PROTO_FOLDER OUT_FOLDER"),
    };
    tonic_prost_build::configure().build_server(false).bytes(".").out_dir(out).compile_protos(
        &[
            format!("{protos}/singleflight/v1/singleflight.proto"),
            format!("{protos}/grpc/health/v1/health.proto"),
        ],
        &[protos],
    )
}
