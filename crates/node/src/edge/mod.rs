//! The edges: where connections arrive, who is behind them, and what they may ask for.

pub mod acceptor;
pub mod authorisation;
pub mod authority;
pub mod gate;
pub mod grpc;
pub mod http;
pub mod places;
pub mod tls;
