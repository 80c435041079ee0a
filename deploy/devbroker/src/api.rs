//! The six requests this broker understands: which versions, how a frame becomes a request, who answers it.
//!
//! Versions stay below the compact encodings and topic ids (except ApiVersions, where clients open with them), and below
//! leader epochs: with one node they would say nothing. rskafka, librdkafka and kafka-python all find a match here.

mod create_topics;
mod fetch;
mod list_offsets;
mod metadata;
mod produce;
mod shape;
mod versions;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{
    ApiKey, BrokerId, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
    RequestHeader,
};
use kafka_protocol::protocol::{Decodable, VersionRange};
use thiserror::Error;

use self::shape::{Part, ShapeError};
use crate::frame;
use crate::server::Broker;

/// The id of the one node.
const NODE: BrokerId = BrokerId(1);

/// Why a request gets no answer; the connection is closed, as a real broker does.
#[derive(Debug, Error)]
pub enum RequestError {
    #[error("header of {len} bytes is too short")]
    Short { len: usize },
    #[error("API {key} version {version} is not supported")]
    Unsupported { key: i16, version: i16 },
    #[error("{api:?} version {version} has a bad shape")]
    Shape {
        api: ApiKey,
        version: i16,
        #[source]
        source: ShapeError,
    },
    #[error("{api:?} version {version} cannot be decoded: {reason:#}")]
    Decode { api: ApiKey, version: i16, reason: anyhow::Error },
    #[error("{api:?} version {version} cannot be answered: {reason:#}")]
    Encode { api: ApiKey, version: i16, reason: anyhow::Error },
}

#[derive(Clone, Copy)]
enum Api {
    Versions,
    Metadata,
    CreateTopics,
    Produce,
    Fetch,
    ListOffsets,
}

impl Api {
    const ALL: [Self; 6] =
        [Self::Produce, Self::Fetch, Self::ListOffsets, Self::Metadata, Self::Versions, Self::CreateTopics];

    fn of(key: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.key() as i16 == key)
    }

    fn key(self) -> ApiKey {
        match self {
            Self::Versions => ApiKey::ApiVersions,
            Self::Metadata => ApiKey::Metadata,
            Self::CreateTopics => ApiKey::CreateTopics,
            Self::Produce => ApiKey::Produce,
            Self::Fetch => ApiKey::Fetch,
            Self::ListOffsets => ApiKey::ListOffsets,
        }
    }

    fn versions(self) -> VersionRange {
        let (min, max) = match self {
            Self::Versions => (0, 4),
            Self::Metadata => (0, 5),
            Self::CreateTopics => (2, 4),
            Self::Produce => (3, 7),
            Self::Fetch => (4, 4),
            Self::ListOffsets => (2, 3),
        };
        VersionRange { min, max }
    }

    fn speaks(self, version: i16) -> bool {
        let VersionRange { min, max } = self.versions();
        (min..=max).contains(&version)
    }

    /// The lists of the request's body, in every version above.
    fn shape(self) -> &'static [Part] {
        match self {
            Self::Versions => &[],
            Self::Metadata => shape::METADATA,
            Self::CreateTopics => shape::CREATE_TOPICS,
            Self::Produce => shape::PRODUCE,
            Self::Fetch => shape::FETCH,
            Self::ListOffsets => shape::LIST_OFFSETS,
        }
    }
}

/// Answers one request frame with one response frame, or with silence where the protocol wants that.
pub async fn answer(broker: &Broker, mut frame: Bytes) -> Result<Option<Bytes>, RequestError> {
    let Some(start) = frame.first_chunk::<8>() else {
        return Err(RequestError::Short { len: frame.len() });
    };
    let mut start = start.as_slice();
    let (key, version, correlation_id) = (start.get_i16(), start.get_i16(), start.get_i32());
    let api = Api::of(key).ok_or(RequestError::Unsupported { key, version })?;
    let encode_error = |reason| RequestError::Encode { api: api.key(), version, reason };
    if !api.speaks(version) {
        // Whoever asks for our versions cannot know them yet: the oldest form tells (KIP-511). Others knew better.
        return match api {
            Api::Versions => frame::encode(correlation_id, 0, &versions::unsupported()).map(Some).map_err(encode_error),
            Api::Metadata | Api::CreateTopics | Api::Produce | Api::Fetch | Api::ListOffsets => {
                Err(RequestError::Unsupported { key, version })
            }
        };
    }
    decode::<RequestHeader>(api, version, &mut frame, api.key().request_header_version(version))?;
    shape::check(api.shape(), &frame).map_err(|source| RequestError::Shape { api: api.key(), version, source })?;

    let response = match api {
        Api::Versions => frame::encode(correlation_id, version, &versions::answer()),
        Api::Metadata => {
            let request = decode::<MetadataRequest>(api, version, &mut frame, version)?;
            frame::encode(correlation_id, version, &metadata::answer(broker, request, version))
        }
        Api::CreateTopics => {
            let request = decode::<CreateTopicsRequest>(api, version, &mut frame, version)?;
            frame::encode(correlation_id, version, &create_topics::answer(broker, request).await)
        }
        Api::Produce => {
            let request = decode::<ProduceRequest>(api, version, &mut frame, version)?;
            let Some(response) = produce::answer(broker, request).await else { return Ok(None) };
            frame::encode(correlation_id, version, &response)
        }
        Api::Fetch => {
            let request = decode::<FetchRequest>(api, version, &mut frame, version)?;
            frame::encode(correlation_id, version, &fetch::answer(broker, request).await)
        }
        Api::ListOffsets => {
            let request = decode::<ListOffsetsRequest>(api, version, &mut frame, version)?;
            frame::encode(correlation_id, version, &list_offsets::answer(broker, request))
        }
    };
    response.map(Some).map_err(encode_error)
}

/// Decodes `R` in the form `form` from the front of `frame`.
fn decode<R: Decodable>(api: Api, version: i16, frame: &mut Bytes, form: i16) -> Result<R, RequestError> {
    R::decode(frame, form).map_err(|reason| RequestError::Decode { api: api.key(), version, reason })
}
