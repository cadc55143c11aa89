//! The gRPC edge: the registry's services behind the gate, on TLS connections with an identity.

use std::sync::Arc;
use std::time::Duration;

use banyan_wire::internal_v1::raw_values_server::RawValuesServer;
use banyan_wire::v1::cluster_admin_server::ClusterAdminServer;
use banyan_wire::v1::registry_server::RegistryServer;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::acceptor::Connection;
use super::gate::{Gate, GateLayer};
use crate::services::{AdminService, RawValuesService, RegistryService};

/// The largest request or answer, in bytes. A batch of 1000 full forms is about 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Requests that one connection may have open.
const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// All headers of a request together, in bytes.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Window of one stream and of one connection, in bytes: a batch travels without waiting for window updates.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// A connection whose peer is gone is found by unanswered pings.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the edge serves.
pub struct GrpcParts<H: Health> {
    /// Persons.
    pub registry: RegistryService,
    /// The cluster.
    pub admin: AdminService,
    /// Raw values, at nodes of the bench only.
    pub raw_values: Option<RawValuesService>,
    /// Health, as gRPC clients and load balancers ask for it.
    pub health: HealthServer<H>,
    /// What stands before all of them.
    pub gate: Arc<Gate>,
}

/// Why the gRPC edge could not be set up or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The descriptors for reflection are not usable: a fault of the build.
    #[error("cannot set up gRPC reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The embedded descriptors do not decode: a fault of the build.
    #[error("cannot decode the descriptors of the services")]
    Descriptors(#[from] prost::DecodeError),
    /// The server ended by itself.
    #[error("the gRPC server ended")]
    Server(#[from] tonic::transport::Error),
}

/// Serves connections until `stop`, then lets running requests end.
///
/// # Errors
/// [`GrpcError`] when the services cannot be set up or the server ends by itself.
pub async fn serve<H: Health>(
    parts: GrpcParts<H>,
    connections: mpsc::Receiver<Connection>,
    stop: CancellationToken,
) -> Result<(), GrpcError> {
    let registry = RegistryServer::new(parts.registry)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let admin = ClusterAdminServer::new(parts.admin)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let raw_values = parts.raw_values.map(|service| {
        RawValuesServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    });
    let public = public_descriptors()?;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_file_descriptor_set(public.clone())
        .build_v1()?;
    let reflection_alpha = tonic_reflection::server::Builder::configure()
        .register_file_descriptor_set(public)
        .build_v1alpha()?;
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(GateLayer(parts.gate))
        .add_service(registry)
        .add_service(admin)
        .add_optional_service(raw_values)
        .add_service(parts.health)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections).map(Ok::<_, std::convert::Infallible>),
            async move { stop.cancelled().await },
        )
        .await?;
    Ok(())
}

/// The descriptors that operators may see: those of the public packages, and of health. Peers' messages stay out.
fn public_descriptors() -> Result<FileDescriptorSet, prost::DecodeError> {
    let mut set = FileDescriptorSet::decode(banyan_wire::FILE_DESCRIPTOR_SET)?;
    set.file.retain(|file| file.package() == "banyan.v1");
    let health = FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET)?;
    set.file.extend(health.file);
    Ok(set)
}
