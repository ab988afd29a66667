//! A server that answers as the servers of language models do, in each of their APIs: a prompt of 12
//! tokens, 8 of them cached where the API says so, and two tokens of text.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use crate::http::field;

/// The server; it ends with the test.
#[derive(Debug)]
pub struct LlmUpstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    bodies: Mutex<Vec<String>>,
    gate: Gate,
}

/// How many events may still be sent.
#[derive(Debug, Default)]
struct Gate {
    is_open: bool,
    events: Mutex<usize>,
    released: Condvar,
}

/// One answer: its media type, and its pieces.
type Answer = (&'static str, Vec<&'static str>);

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";

impl LlmUpstream {
    /// Starts it on a free port. It sends whatever it has at once.
    #[must_use]
    pub fn start() -> Self {
        Self::with(true)
    }

    /// Starts it on a free port. It sends the head of an answer at once, and each piece of the body
    /// when it is [released](Self::release).
    #[must_use]
    pub fn gated() -> Self {
        Self::with(false)
    }

    fn with(is_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let gate = Gate {
            is_open,
            ..Gate::default()
        };
        let seen = Arc::new(Seen {
            gate,
            ..Seen::default()
        });
        let all = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = all.clone();
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Ok(true) = answer(&mut reader, &seen) {}
                });
            }
        });
        Self { address, seen }
    }

    /// Lets it send `pieces` more.
    ///
    /// # Panics
    /// If a serving thread did.
    pub fn release(&self, pieces: usize) {
        *self.seen.gate.events.lock().expect("gate") += pieces;
        self.seen.gate.released.notify_all();
    }

    /// The bodies of all requests so far.
    ///
    /// # Panics
    /// If a serving thread did.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        self.seen.bodies.lock().expect("bodies").clone()
    }
}

impl Gate {
    fn pass(&self) {
        if self.is_open {
            return;
        }
        let events = self.events.lock().expect("gate");
        let is_closed = |events: &mut usize| *events == 0;
        let mut events = self.released.wait_while(events, is_closed).expect("gate");
        *events -= 1;
    }
}

/// Answers one request. Returns whether the connection stays open.
fn answer(reader: &mut BufReader<TcpStream>, seen: &Seen) -> io::Result<bool> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(false);
        }
    }
    let length = field(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    seen.bodies.lock().expect("bodies").push(body.clone());
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (media_type, pieces) = answer_of(path, &body);
    let mut stream = reader.get_ref();
    let status = field(&head, "x-status").unwrap_or("200");
    let coding = match field(&head, "x-coding") {
        Some(coding) => format!("content-encoding: {coding}\r\n"),
        None => String::new(),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\n{coding}transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    for piece in pieces {
        seen.gate.pass();
        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes())?;
    }
    stream.write_all(b"0\r\n\r\n")?;
    Ok(true)
}

fn answer_of(path: &str, body: &str) -> Answer {
    let body: String = body.split_whitespace().collect();
    let streams = body.contains(r#""stream":true"#);
    let with_usage = body.contains(r#""include_usage":true"#);
    match (path, streams) {
        ("/v1/chat/completions", true) => {
            let mut events = vec![
                "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
                "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"One\"},\"finish_reason\":null}]}\n\n",
                "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" two\"},\"finish_reason\":null}]}\n\n",
                "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            ];
            if with_usage {
                events.push("data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2,\"total_tokens\":14,\"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\n");
            }
            events.push("data: [DONE]\n\n");
            (EVENTS, events)
        }
        ("/v1/chat/completions", false) => (
            JSON,
            vec![
                "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"One two\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tok",
                "ens\":12,\"completion_tokens\":2,\"total_tokens\":14,\"prompt_tokens_details\":{\"cached_tokens\":8}}}",
            ],
        ),
        ("/v1/completions", true) => (
            EVENTS,
            vec![
                "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\"One\",\"finish_reason\":null}]}\n\n",
                "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\" two\",\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2,\"total_tokens\":14}}\n\n",
                "data: [DONE]\n\n",
            ],
        ),
        ("/v1/responses", true) => (
            EVENTS,
            vec![
                "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"output\":[],\"usage\":null}}\n\n",
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"item_id\":\"i\",\"output_index\":0,\"content_index\":0,\"delta\":\"One\",\"logprobs\":[]}\n\n",
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":2,\"item_id\":\"i\",\"output_index\":0,\"content_index\":0,\"delta\":\" two\",\"logprobs\":[]}\n\n",
                "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":3,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":12,\"input_tokens_details\":{\"cached_tokens\":8},\"output_tokens\":2,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":14}}}\n\n",
            ],
        ),
        ("/v1/messages", true) => (
            EVENTS,
            vec![
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"stop_reason\":null,\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":8,\"output_tokens\":1}}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"One\"}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" two\"}}\n\n",
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            ],
        ),
        ("/api/chat", _) => (
            "application/x-ndjson",
            vec![
                "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"One\"},\"done\":false}\n",
                "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\" two\"},\"done\":false}\n",
                "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done_reason\":\"stop\",\"done\":true,\"prompt_eval_count\":12,\"eval_count\":2}\n",
            ],
        ),
        (path, _) if path.ends_with("/generate_stream") => (
            EVENTS,
            vec![
                "data: {\"model_name\":\"m\",\"model_version\":\"1\",\"text_output\":\"One\"}\n\n",
                "data: {\"model_name\":\"m\",\"model_version\":\"1\",\"text_output\":\" two\"}\n\n",
            ],
        ),
        _ => (JSON, vec!["{\"usage\":{\"prompt_tokens\":12}}"]),
    }
}
