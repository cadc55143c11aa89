//! The few messages of etcd's API that are needed, by hand: the published clients need `protoc` to be built.
//!
//! Field numbers are those of `api/etcdserverpb/rpc.proto` of etcd 3.4; fields that are not used are left out, which protobuf permits.

use prost::Message;

/// `etcdserverpb.ResponseHeader`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    pub(crate) member_id: u64,
    #[prost(int64, tag = "3")]
    pub(crate) revision: i64,
}

/// `etcdserverpb.PutRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PutResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<ResponseHeader>,
}

/// `etcdserverpb.RangeRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    /// Read from this member's own state; else linearizable.
    #[prost(bool, tag = "7")]
    pub(crate) serializable: bool,
}

/// `etcdserverpb.RangeResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pub(crate) kvs: Vec<KeyValue>,
}

/// `mvccpb.KeyValue`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) value: Vec<u8>,
}

/// `etcdserverpb.StatusRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatusRequest {}

/// `etcdserverpb.StatusResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(uint64, tag = "4")]
    pub(crate) leader: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) raft_applied_index: u64,
}

/// `etcdserverpb.MemberAddRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct MemberAddRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) peer_urls: Vec<String>,
    #[prost(bool, tag = "2")]
    pub(crate) is_learner: bool,
}

/// `etcdserverpb.MemberAddResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct MemberAddResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<ResponseHeader>,
}

/// Paths of the methods.
pub(crate) mod path {
    pub(crate) const PUT: &str = "/etcdserverpb.KV/Put";
    pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";
    pub(crate) const MEMBER_ADD: &str = "/etcdserverpb.Cluster/MemberAdd";
    pub(crate) const STATUS: &str = "/etcdserverpb.Maintenance/Status";
}
