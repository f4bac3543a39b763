use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use http::Request;
use http_body::Body;
use nerite_backend::Response;
use nerite_core::execution::Room;
use tokio::sync::mpsc::Sender;
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use super::super::compression::Encoding;
use super::super::outgoing;
use super::body::Outgoing;
use super::in_order::InOrder;
use super::messages::{Message, Messages};
use super::request::{self, Begun, Common, Decoupled, Reply};
use crate::net::CallDeadline;
use crate::serving::Serving;

/// How many requests of a stream are under way at a time. Others stay with the client.
pub(in super::super) const MOST_REQUESTS: usize = 1024;

/// How many bytes the messages under way on a stream may have, requests and answers that wait for their turn, before no more
/// requests are read.
const MOST_BYTES: usize = 64 << 20;

/// What the first answer of a stream is expected to have, in bytes.
const FIRST_ANSWER: usize = 1 << 20;

/// How many responses of decoupled models may wait on a stream, and of how many bytes, before who sends more has to wait.
pub(in super::super) const UNREAD_RESPONSES: usize = 256;
const UNREAD_BYTES: usize = 16 << 20;

/// Reads a stream's requests, and sends what becomes of them.
pub(super) struct Driver {
    common: Common,
    out: Sender<Outgoing>,
    /// What the answers are compressed with, if they are.
    encoding: Option<Encoding>,
    ends_at_failure: bool,
    running: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    /// The answers of ordinary requests.
    answers: InOrder<(Reply, usize)>,
    decoupled: usize,
    /// The bytes of requests under way, and of answers that wait for their turn.
    bytes: usize,
    /// What an answer is expected to have, in bytes; `None` before the first. Answers are made and held by their engines
    /// whether or not the client reads, so that they are to be reckoned with before they are seen.
    expected: Option<usize>,
}

/// Something that a request waited for.
enum Event {
    /// An ordinary one has its answer. `size` is its own message's.
    Answered { number: u64, reply: Reply, size: usize },
    /// A decoupled one has a response, or has had its last.
    Responded { request: Box<Decoupled>, response: Option<Response>, size: usize },
}

impl Driver {
    /// Of a call with that head, which sends to `out`. `limit` is the longest message, in bytes.
    pub(super) fn new(
        serving: Arc<Serving>,
        head: Request<()>,
        out: Sender<Outgoing>,
        encoding: Option<Encoding>,
        limit: usize,
    ) -> Driver {
        let deadline = CallDeadline::of(head.extensions());
        let room = Arc::new(Room::new(UNREAD_RESPONSES, UNREAD_BYTES));
        Driver {
            common: Common { serving, head, deadline, limit, room },
            out,
            encoding,
            ends_at_failure: false,
            running: FuturesUnordered::new(),
            answers: InOrder::new(),
            decoupled: 0,
            bytes: 0,
            expected: None,
        }
    }

    /// The same; if wanted, the first failure ends the stream.
    pub(super) fn ending_at_failure(self, ends_at_failure: bool) -> Driver {
        Driver { ends_at_failure, ..self }
    }

    /// Goes on until all requests have been answered and there will be no more, or something ends the stream.
    pub(super) async fn drive<B>(mut self, mut messages: Messages<B>) -> Result<(), Status>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (mut reads, mut end) = (true, Ok(()));
        loop {
            // Either may always be ready, and must not keep the other from its turn: the choice is left to chance.
            tokio::select! {
                Some(event) = self.running.next(), if !self.running.is_empty() => self.take(event).await?,
                message = messages.next(), if reads && self.has_room() => match message {
                    Ok(Some(message)) => {
                        self.begin(message).await?;
                        // A brief model has executed it here: others on this thread get their turn.
                        tokio::task::coop::consume_budget().await;
                    }
                    Ok(None) => reads = false,
                    // The server exits, or has no room for more. What has been begun is finished.
                    Err(status) if status.code() == Code::Unavailable => (reads, end) = (false, Err(status)),
                    Err(status) => return Err(status),
                },
                else => return end,
            }
        }
    }

    /// Whether another request may be read.
    fn has_room(&self) -> bool {
        let under_way = self.answers.len() + self.decoupled;
        let expected = self.running.len().saturating_mul(self.expected.unwrap_or(FIRST_ANSWER));
        under_way == 0 || under_way < MOST_REQUESTS && self.bytes.saturating_add(expected) < MOST_BYTES
    }

    /// Learns from an answer of that length: a long one counts at once, short ones after some.
    fn expect(&mut self, length: usize) {
        let expected = self.expected.unwrap_or(length);
        self.expected = Some(length.max(expected - expected / 16));
    }

    async fn begin(&mut self, message: Message) -> Result<(), Status> {
        let size = message.bytes.len();
        match request::begin(&self.common, message)? {
            Begun::Ordinary(answer) => {
                let number = self.answers.enter();
                self.bytes += size;
                self.running.push(Box::pin(async move {
                    let reply = answer.await;
                    Event::Answered { number, reply, size }
                }));
                Ok(())
            }
            Begun::Decoupled(request) => {
                self.decoupled += 1;
                self.bytes += size;
                self.wait_for_response(request, size);
                Ok(())
            }
            Begun::Refused { reply, in_order: true } => {
                let number = self.answers.enter();
                self.answers.fill(number, (reply, 0));
                self.send_answers().await
            }
            Begun::Refused { reply, in_order: false } => self.send(reply).await,
        }
    }

    fn wait_for_response(&self, request: Box<Decoupled>, size: usize) {
        self.running.push(Box::pin(async move {
            let (request, response) = request.next().await;
            Event::Responded { request, response, size }
        }));
    }

    async fn take(&mut self, event: Event) -> Result<(), Status> {
        match event {
            Event::Answered { number, reply, size } => {
                let length = reply.len();
                self.expect(length);
                self.bytes += length;
                self.answers.fill(number, (reply, size + length));
                self.send_answers().await
            }
            Event::Responded { mut request, response, size } => {
                let last = response.as_ref().is_none_or(|response| response.last);
                let reply = response.and_then(|response| request.reply(response));
                if let Some(reply) = &reply {
                    self.expect(reply.len());
                }
                if last {
                    self.decoupled -= 1;
                    self.bytes -= size;
                } else {
                    self.wait_for_response(request, size);
                }
                match reply {
                    Some(reply) => self.send(reply).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Sends the answers whose turn it is.
    async fn send_answers(&mut self) -> Result<(), Status> {
        while let Some((reply, bytes)) = self.answers.next() {
            self.bytes -= bytes;
            self.send(reply).await?;
        }
        Ok(())
    }

    async fn send(&mut self, Reply { message, shares }: Reply) -> Result<(), Status> {
        let pieces = match message {
            Ok(pieces) => pieces,
            Err(failure) if self.ends_at_failure => return Err(failure.status),
            Err(failure) => failure.message(),
        };
        let pieces = outgoing::compressed(pieces, self.encoding).await?;
        // The body has the other end, and this future too.
        drop(self.out.send(Outgoing::new(pieces, shares)).await);
        Ok(())
    }
}
