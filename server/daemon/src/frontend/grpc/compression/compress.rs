use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tonic::Status;

use super::offload::{Caller, offload};
use super::{AT_ONCE, Encoding, STEP};

/// A compromise of time and size, whatever level was asked for; tonic's, which compresses all other answers.
const LEVEL: Compression = Compression::new(6);

/// Compresses what the pieces make up together.
pub(in super::super) async fn compress(encoding: Encoding, pieces: VecDeque<Bytes>) -> Result<Bytes, Status> {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let compressed = if length <= AT_ONCE {
        deflate(encoding, &pieces, &Caller::here())
    } else {
        offload(move |caller| deflate(encoding, &pieces, caller)).await?
    };
    compressed.map(Bytes::from).map_err(|error| Status::internal(format!("Error compressing: {error}")))
}

fn deflate(encoding: Encoding, pieces: &VecDeque<Bytes>, caller: &Caller<'_>) -> io::Result<Vec<u8>> {
    let out = Vec::new();
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(out, LEVEL);
            write(pieces, caller, &mut encoder)?;
            encoder.finish()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(out, LEVEL);
            write(pieces, caller, &mut encoder)?;
            encoder.finish()
        }
        Encoding::Zstd => {
            let mut encoder = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            write(pieces, caller, &mut encoder)?;
            encoder.finish()
        }
    }
}

fn write(pieces: &VecDeque<Bytes>, caller: &Caller<'_>, encoder: &mut impl Write) -> io::Result<()> {
    for step in pieces.iter().flat_map(|piece| piece.chunks(STEP)) {
        if caller.is_gone() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        encoder.write_all(step)?;
    }
    Ok(())
}
