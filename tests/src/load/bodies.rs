//! Requests as they are in a body.

use std::path::Path;

use anyhow::{Context, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// A message with the prefix that gRPC gives it: not compressed, and its length.
pub fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("requests of a test are small"));
    message.encode(&mut frame).expect("there is room for it");
    frame.freeze()
}

/// The bodies in a file, one after the other, each of one message with its prefix.
pub fn read(file: &Path) -> anyhow::Result<Vec<Bytes>> {
    let mut rest = Bytes::from(std::fs::read(file).with_context(|| file.display().to_string())?);
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        ensure!(rest.len() >= 5, "{} ends in a prefix", file.display());
        let length = 5 + (&rest[1..5]).get_u32() as usize;
        ensure!(rest.len() >= length, "{} ends in a message", file.display());
        bodies.push(rest.split_to(length));
    }
    ensure!(!bodies.is_empty(), "{} is empty", file.display());
    Ok(bodies)
}
