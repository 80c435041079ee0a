//! Frames on the wire: a length, then a message. Nothing here knows what a message means.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest request; a produce of a few full batches fits.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a frame could not be read.
#[derive(Debug, Error)]
pub enum FrameError {
    #[error("frame of {len} bytes is outside 0..={FRAME_BYTES_MAX}")]
    Size { len: i32 },
    #[error("connection broke inside a frame")]
    Io(#[from] std::io::Error),
}

/// Reads one frame; `None` when the peer closed between frames.
pub async fn read(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<Bytes>, FrameError> {
    let mut prefix = [0; 4];
    if reader.read(&mut prefix[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut prefix[1..]).await?;
    let len = i32::from_be_bytes(prefix);
    let size = usize::try_from(len).ok().filter(|size| *size <= FRAME_BYTES_MAX).ok_or(FrameError::Size { len })?;

    let mut message = vec![0; size];
    reader.read_exact(&mut message).await?;
    Ok(Some(message.into()))
}

/// Encodes one response with its length and header.
///
/// # Errors
/// When the message cannot be told in this version, which is a bug of ours.
pub fn encode<R: Encodable + HeaderVersion>(correlation_id: i32, version: i16, response: &R) -> anyhow::Result<Bytes> {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    ResponseHeader::default().with_correlation_id(correlation_id).encode(&mut frame, R::header_version(version))?;
    response.encode(&mut frame, version)?;
    let len = i32::try_from(frame.len() - size_of::<i32>())?;
    frame[..size_of::<i32>()].copy_from_slice(&len.to_be_bytes());
    Ok(frame.freeze())
}
