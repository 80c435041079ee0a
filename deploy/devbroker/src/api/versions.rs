//! ApiVersions: what this broker speaks, and nothing it does not.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::ApiVersion;

use super::Api;

/// Every API with its versions.
pub fn answer() -> ApiVersionsResponse {
    let versions = Api::ALL.into_iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key() as i16)
            .with_min_version(api.versions().min)
            .with_max_version(api.versions().max)
    });
    ApiVersionsResponse::default().with_api_keys(versions.collect())
}

/// The answer to a version of ApiVersions that we do not speak; to be sent as version 0.
pub fn unsupported() -> ApiVersionsResponse {
    answer().with_error_code(ResponseError::UnsupportedVersion.code())
}
