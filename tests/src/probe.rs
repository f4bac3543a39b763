//! Asks a daemon whether it is ready, as soon as it can be asked.
//!
//! A client of a few hundred bytes of HTTP/2, written out here: it has no start-up cost of its own and asks
//! thousands of times a second, so that what is measured is the daemon.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATH: &[u8] = b"/inference.GRPCInferenceService/ServerReady";

/// How long to wait before asking again.
const INTERVAL: Duration = Duration::from_micros(200);

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Waits until the daemon on that port of the loopback interface says that it is ready. `is_alive` is asked between
/// attempts. Fails at the deadline, or with `BrokenPipe` when the process is no longer alive.
pub fn wait_ready(
    port: u16,
    deadline: Instant,
    mut is_alive: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let mut probe: Option<Probe> = None;
    loop {
        let answer = match &mut probe {
            Some(probe) => probe.ask(),
            None => Probe::connect(port).and_then(|fresh| probe.insert(fresh).ask()),
        };
        match answer {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(_) => probe = None,
        }
        if !is_alive()? {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the daemon ended before it was ready"));
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the daemon was not ready in time"));
        }
        thread::sleep(INTERVAL);
    }
}

/// One connection.
struct Probe {
    stream: TcpStream,
    next_stream: u32,
}

impl Probe {
    fn connect(port: u16) -> io::Result<Probe> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())?;
        Ok(Probe { stream, next_stream: 1 })
    }

    /// Whether ServerReady answers yes; an error status is a no.
    fn ask(&mut self) -> io::Result<bool> {
        let id = self.next_stream;
        self.next_stream += 2;
        let empty_message = [0; 5];
        let request =
            [frame(HEADERS, END_HEADERS, id, &headers()), frame(DATA, END_STREAM, id, &empty_message)]
                .concat();
        self.stream.write_all(&request)?;
        let mut body = Vec::new();
        loop {
            let (kind, flags, stream, payload) = self.read_frame()?;
            if stream != id {
                continue;
            }
            if kind == DATA {
                body.extend_from_slice(&payload);
            }
            if flags & END_STREAM != 0 && (kind == DATA || kind == HEADERS) {
                // The prefix of a message of two bytes, and its field 1 set to true.
                return Ok(body == [0, 0, 0, 0, 2, 8, 1]);
            }
        }
    }

    fn read_frame(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l2, l1, l0]) as usize];
        self.stream.read_exact(&mut payload)?;
        Ok((kind, flags, u32::from_be_bytes([s3, s2, s1, s0]) & 0x7fff_ffff, payload))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("the frames here are small").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The header block: fields of HPACK's static table where it has them, literals that nobody indexes elsewhere.
fn headers() -> Vec<u8> {
    let (post, http, path, authority, content_type, new_name) = (0x83, 0x86, 0x04, 0x01, [0x0f, 0x10], 0x00);
    let mut block = vec![post, http, path];
    text(&mut block, PATH);
    block.push(authority);
    text(&mut block, b"localhost");
    block.extend(content_type);
    text(&mut block, b"application/grpc");
    block.push(new_name);
    text(&mut block, b"te");
    text(&mut block, b"trailers");
    block
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    block.push(u8::try_from(text.len()).expect("the texts here are short"));
    block.extend_from_slice(text);
}
