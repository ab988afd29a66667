use std::io::Write;

use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

fn whole(text: &str) -> Result<Recording, String> {
    read(text.as_bytes(), &ReadOptions::default()).map_err(|error| error.to_string())
}

fn of(model: &str, text: &str) -> Result<Recording, String> {
    let options = ReadOptions {
        whose: Whose::Model(model.to_owned()),
        ..ReadOptions::default()
    };
    read(text.as_bytes(), &options).map_err(|error| error.to_string())
}

fn request(seconds: f64, service: f64) -> Request {
    Request {
        at: Nanos::from_duration(Duration::from_secs_f64(seconds)),
        service: Duration::from_secs_f64(service),
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const LOG: &str = r#"{"timestamp":"2026-01-01T00:00:01.000000Z","model":"a","status":"200","held_seconds":0.0,"service_seconds":0.5,"replica":"a-0"}
{"timestamp":"2026-01-01T00:00:00.000000Z","model":"b","status":"200","held_seconds":0.0,"service_seconds":1}
{"timestamp":"2026-01-01T00:00:03.000000Z","model":"a","status":"503","held_seconds":60,"service_seconds":0.0,"replica":null}

{"timestamp":"2026-01-01T00:00:02.000000Z","model":"a","status":"OK","service_seconds":0.25}
{"timestamp":"2026-01-01T00:00:02.000000Z","model":"a","sta
"#;

#[test]
fn token_counts_become_service_time() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
                2023-11-16 18:17:03.5000000,4808,10\r\n\
                2023-11-16 18:17:04.0000000,3200,8\r\n";
    let expected = [
        request(0.0, 0.05 + 0.4808 + 0.2),
        request(0.5, 0.05 + 0.32 + 0.16),
    ];
    assert_eq!(whole(text).unwrap().trace.requests(), expected);
    let json = r#"{"time": 10, "input_tokens": 3200, "output_tokens": 8}"#;
    let expected = [request(0.0, 0.05 + 0.32 + 0.16)];
    assert_eq!(whole(json).unwrap().trace.requests(), expected);
}

#[test]
fn lengths_with_times_in_milliseconds_are_read_as_mooncake_publishes_them() {
    let text = r#"{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}
                  {"timestamp": 30535, "input_length": 3200, "output_length": 8, "hash_ids": []}"#;
    let expected = [
        request(0.0, 0.05 + 0.6955 + 1.04),
        request(3.053, 0.05 + 0.32 + 0.16),
    ];
    assert_eq!(whole(text).unwrap().trace.requests(), expected);
    let csv = "timestamp_ms,service_ms\n1000,20\n1500,30\n";
    let expected = [request(0.0, 0.02), request(0.5, 0.03)];
    assert_eq!(whole(csv).unwrap().trace.requests(), expected);
}

#[test]
fn counts_per_minute_are_spread_over_their_minutes() {
    let text = "HashOwner,HashFunction,Trigger,1,2,3\no,f,http,2,0,3\no,g,http,0,1,\n";
    let error = whole(text).unwrap_err();
    assert!(error.contains("f (5), g (1)"), "{error}");
    let trace = of("f", text).unwrap().trace;
    let fixed = ServiceModel::default().fixed;
    let minutes: Vec<u64> = (trace.requests().iter())
        .map(|request| {
            assert_eq!(request.service.as_secs_f64(), fixed);
            request.at.0 / 60_000_000_000
        })
        .collect();
    assert_eq!(minutes.len(), 5);
    // The trace's clock starts at the first request.
    assert!(minutes[..2] == [0, 0] && minutes[2..].iter().all(|&m| (1..=2).contains(&m)));
    let days = "func_idx,hash8,day,m1,m2,m3\n0,x,1,1,0,0\n0,x,2,1,0,0\n";
    let span = whole(days).unwrap().trace.span().as_secs();
    assert!((86_340..=86_460).contains(&span), "{span}");
    let error = whole("a,1,2,3\nx,1,many,0\n").unwrap_err();
    assert!(
        error.contains("line 2") && error.contains("many"),
        "{error}"
    );
}

#[test]
fn what_has_no_known_field_is_refused_with_the_fields_that_it_has() {
    let error = whole(r#"{"timestamp": 1, "size": 3, "latency": 0.5}"#).unwrap_err();
    assert!(
        error.contains("only the fields \"latency, size, timestamp\""),
        "{error}"
    );
    assert!(error.contains("expected service_seconds"), "{error}");
    let error = whole("ts,size\n1,2\n").unwrap_err();
    assert!(
        error.contains("ts,size") && error.contains("a column named timestamp"),
        "{error}"
    );
}

#[test]
fn columns_are_known_by_many_names() {
    let burst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                 5,ChatGPT,472,18,490,Conversation log\n\
                 6.5,ChatGPT,1087,230,1317,API log\n";
    let expected = [
        request(0.0, 0.05 + 0.0472 + 0.36),
        request(1.5, 0.05 + 0.1087 + 4.6),
    ];
    assert_eq!(whole(burst).unwrap().trace.requests(), expected);
    let expected = [request(0.0, 0.25), request(0.5, 2.0)];
    for text in [
        "Time Stamp,Service-Milliseconds\n1,250\n1.5,2000\n",
        "who\ttime\tduration_ms\n\t1\t250\nx\t15e-1\t2e3\n",
        "time;duration\n1;0.25\n+1.5;2\n",
        "{\"Timestamp\":1,\"Duration\":0.25}\n\t{\"timestamp\":\"1.5\",\"service_ms\":\"2000\"}\n",
    ] {
        assert_eq!(whole(text).unwrap().trace.requests(), expected, "{text}");
    }
}

#[test]
fn access_log_is_read_for_one_model_without_what_no_replica_had() {
    let found = of("a", LOG).unwrap();
    let expected = [request(0.0, 0.5), request(1.0, 0.25)];
    assert_eq!(found.trace.requests(), expected);
    assert_eq!((found.not_served, found.cut_off), (1, 1));
    assert_eq!(
        whole(LOG).unwrap_err(),
        "the trace has requests of several models; choose one by --model, or all by --trace-model '*': a (3), b (1)"
    );
    let all = ReadOptions {
        whose: Whose::All,
        ..ReadOptions::default()
    };
    let all = read(LOG.as_bytes(), &all).unwrap();
    assert_eq!(all.trace.requests().len(), 3);
    assert_eq!(
        of("c", LOG).unwrap_err(),
        "the trace has no request of model \"c\", but of a (3), b (1); choose one by --trace-model"
    );
}

#[test]
fn a_model_that_is_asked_for_must_be_named() {
    const NAMELESS: &str = "timestamp,service\n1,2\n";
    const PARTLY: &str =
        "{\"timestamp\":1,\"service\":2,\"model\":\"a\"}\n{\"timestamp\":3,\"service\":4}\n";
    assert_eq!(
        of("a", NAMELESS).unwrap_err(),
        "found \"timestamp,service\", expected a column named model, which names the model of each request"
    );
    assert_eq!(of("a", PARTLY).unwrap().trace.requests().len(), 1);
    assert_eq!(
        of("a", "{\"timestamp\":1,\"service\":2}").unwrap_err(),
        "found no line with a model, expected a field named model, which names the model of each request"
    );
    let if_named = |text: &str| {
        let options = ReadOptions {
            whose: Whose::ModelIfNamed("b".to_owned()),
            ..ReadOptions::default()
        };
        let found = read(text.as_bytes(), &options).unwrap();
        found.trace.requests().len()
    };
    assert_eq!((if_named(NAMELESS), if_named(PARTLY)), (1, 1));
}

#[test]
fn quoted_fields_and_other_columns_are_read() {
    let text = "\u{feff}timestamp,note,model,service_seconds,status\n\
                5,\"a, \"\"b\"\"\",\"m,1\",0.5,200\n\
                4, x , \"m,1\" ,0,503\n";
    let found = of("m,1", text).unwrap();
    assert_eq!(found.trace.requests(), [request(0.0, 0.5)]);
    assert_eq!(found.not_served, 1);
}

#[test]
fn gzip_is_read_by_its_content() {
    let csv = "timestamp,service\n1,2\n3,4\n";
    let plain = whole(csv).unwrap();
    // Several gzip members in sequence are one file.
    let twice = [gzip("timestamp,service\n1,2\n"), gzip("3,4\n")].concat();
    for compressed in [gzip(csv), twice] {
        assert_eq!(
            read(&compressed[..], &ReadOptions::default()).unwrap(),
            plain
        );
        // The last block of a tape or a device is padded with zeros.
        let padded = [compressed, vec![0; 10_240]].concat();
        assert_eq!(read(&padded[..], &ReadOptions::default()).unwrap(), plain);
    }
}

#[test]
fn says_where_gzip_is_damaged_and_where_something_else_follows() {
    let whole = gzip(&format!("timestamp,service\n{}", "1,2\n".repeat(100)));
    let end = whole.len();
    let mut wrong = whole.clone();
    wrong[end - 8] ^= 1;
    let damaged =
        |at| format!("cannot read it: its gzip is cut off or damaged, as seen at byte {at} (");
    let followed = format!(
        "cannot read it: its gzip ends at byte {end}, and what follows is not gzip; \
         head -c {end} gives what is before"
    );
    for (compressed, expected) in [
        (whole[..20].to_vec(), damaged(20)),
        (whole[..end - 1].to_vec(), damaged(end - 1)),
        (wrong, damaged(end)),
        ([&whole, &whole[..5]].concat(), damaged(end + 5)),
        ([&whole, &b"3,4\n"[..]].concat(), followed.clone()),
        ([&whole, &[0; 600][..], b"\0x"].concat(), followed),
    ] {
        let error = read(&compressed[..], &ReadOptions::default()).unwrap_err();
        assert!(
            error.to_string().starts_with(&expected),
            "{error}, not {expected}"
        );
    }
}

#[test]
fn says_what_is_wrong_where_and_what_is_expected() {
    const COLUMN: &str =
        "a column named timestamp, or counts per minute in columns named 1, 2, 3, …";
    for (text, expected) in [
        ("", "the trace has no request".to_owned()),
        (" \n\n", "the trace has no request".to_owned()),
        ("timestamp,service\n", "the trace has no request".to_owned()),
        ("1,2\n", format!("line 1: found \"1,2\", expected {COLUMN}")),
        ("\n<html>\n", format!("line 2: found \"<html>\", expected {COLUMN}")),
        (
            "timestamp,model\n",
            format!("line 1: found \"timestamp,model\", expected a column named {SERVICE}"),
        ),
        (
            "timestamp,service\n1,2\nx,2\n",
            format!("line 3: timestamp: found \"x\", expected {TIME}"),
        ),
        (
            "timestamp,service\n\n1,-2\n",
            format!("line 3: service_seconds: found \"-2\", expected {SECONDS}"),
        ),
        (
            "timestamp,service\n1\n",
            format!("line 2: service_seconds: found nothing, expected {SECONDS}"),
        ),
        (
            "timestamp,tokens,generatedtokens\n1,2,1e99\n",
            format!("line 2: generated_tokens: found \"1e99\", expected {TOKENS}"),
        ),
        (
            "timestamp,service\n1,\"2\n3,4\n",
            "line 2: found \"\\\"2\" without its closing quote, expected a quote, and then the next column \
             or the end of the line"
                .to_owned(),
        ),
        (
            "timestamp,service\n5,1\n100000000,1\n7,1\n",
            "line 3: this request is 1157 days apart from the one in line 2, expected at most 366 days; \
             if times are in milliseconds, divide them by 1000"
                .to_owned(),
        ),
        (
            "{\"timestamp\":1,\"service\":2}\n{\"timestamp\":1,\"service\":\"soon\"}",
            "line 2: found \"soon\", expected a number, column 31, expected an object such as \
             {\"timestamp\":\"2026-03-01T09:30:00Z\",\"service_seconds\":0.5}"
                .to_owned(),
        ),
        (
            "[{\"timestamp\":1,\"service\":2}]",
            "found a JSON array; convert it to lines by jq -c '.[]'; expected the access log of tailback serve, \
             other JSON lines, or comma-separated values, as text or compressed by gzip"
                .to_owned(),
        ),
        (
            "timestamp,model,service\n1,,1\n2,a,1\n",
            "the trace has requests of several models; choose one by --model, or all by --trace-model '*': \"\" (1), a (1)".to_owned(),
        ),
        (
            "{\"timestamp\":1,\"service_seconds\":-1}",
            format!("line 1: service_seconds: found -1, expected {SECONDS}"),
        ),
        (
            "{\"service_seconds\":1}",
            format!("line 1: timestamp: found only the fields \"service_seconds\", expected {TIME}"),
        ),
        (
            "{\"timestamp\":1}",
            format!("line 1: service_seconds: found only the fields \"timestamp\", expected {SERVICE}"),
        ),
        (
            "{\"timestamp\":1,\"service\":2}\n[]\n",
            "line 2: found \"[]\", expected an object such as \
             {\"timestamp\":\"2026-03-01T09:30:00Z\",\"service_seconds\":0.5}"
                .to_owned(),
        ),
    ] {
        assert_eq!(whole(text).unwrap_err(), expected, "{text:?}");
    }
    let zstd = read(&b"\x28\xb5\x2f\xfd...."[..], &ReadOptions::default());
    let error = zstd.unwrap_err().to_string();
    assert!(
        error.starts_with("found a file compressed by zstd; expected"),
        "{error}"
    );
    let endless = vec![b'x'; 2 << 20];
    let error = read(&endless[..], &ReadOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1: found more than 1 MiB without a line break, expected a line of text of at most 1 MiB"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, bytes: Vec<u8>) {
        let _ = (whole(&text), read(&bytes[..], &ReadOptions::default()));
        let _ = whole(&format!("{{{text}"));
    }

    #[test]
    fn no_line_makes_it_panic(lines in proptest::collection::vec("[-0-9.,:T Zxe\"]{0,30}", 0..20)) {
        let _ = whole(&format!("timestamp,service\n{}", lines.join("\n")));
        let _ = whole(&format!("timestamp,contexttokens,status\n{}", lines.join("\n")));
        let _ = whole(&format!("{{\"timestamp\":1,\"service\":{}", lines.join("}\n{")));
    }

    #[test]
    fn what_is_written_is_read_back(times in proptest::collection::vec((0u32..100_000, 0u32..1000), 1..50)) {
        let mut csv = "timestamp,service_seconds\n".to_owned();
        let mut json = String::new();
        for (at, service) in &times {
            csv += &format!("{at},{service}\n");
            json += &format!("{{\"service_seconds\":{service},\"timestamp\":{at}.0}}\n");
        }
        let first = times.iter().map(|t| t.0).min().unwrap();
        let expected: Trace = times.iter()
            .map(|&(at, service)| request(f64::from(at - first), f64::from(service))).collect();
        prop_assert_eq!(&whole(&csv).unwrap().trace, &expected);
        prop_assert_eq!(&whole(&json).unwrap().trace, &expected);
    }
}

#[test]
fn what_was_read_is_told_by_the_names_that_the_trace_has() {
    let fields = |text: &str| {
        let fields = whole(text).unwrap().fields.into_iter();
        let fields = fields.map(|(what, name)| format!("{what}: {name}"));
        fields.collect::<Vec<_>>().join(", ")
    };
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens,Other\n2023-11-16 18:17:03,1,1,x\n";
    let mooncake =
        r#"{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46]}"#;
    for (text, expected) in [
        (
            azure,
            "timestamp: TIMESTAMP, tokens in: ContextTokens, tokens out: GeneratedTokens",
        ),
        (
            mooncake,
            "timestamp: timestamp, tokens in: input_length, tokens out: output_length",
        ),
        (
            "HashFunction,1,2,3\nf,1,0,0\n",
            "model: HashFunction, requests per minute: 1 to 3",
        ),
    ] {
        assert_eq!(fields(text), expected, "{text}");
    }
}
