use super::*;
use proptest::prelude::*;

fn whole(text: &str) -> Result<Trace, String> {
    read(text.as_bytes(), &Options::default()).map_err(|error| error.to_string())
}

fn request(seconds: f64, service: f64) -> Request {
    Request {
        at: Nanos::from_duration(Duration::from_secs_f64(seconds)),
        service: Duration::from_secs_f64(service),
    }
}

#[test]
fn token_counts_become_service_time() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
                2023-11-16 18:17:03.5000000,4808,10\r\n\
                2023-11-16 18:17:04.0000000,3200,8\r\n";
    let expected = [
        request(0.0, 0.05 + 0.4808 + 0.2),
        request(0.5, 0.05 + 0.32 + 0.16),
    ];
    assert_eq!(whole(text).unwrap().requests(), expected);
}

#[test]
fn access_log_is_read_for_one_model_without_what_no_replica_had() {
    let text = "timestamp,model,service_seconds,held_seconds,outcome,status\n\
                2026-01-01T00:00:01Z,a,0.5,0,success,200\n\
                2026-01-01T00:00:00Z,b,1,0,success,200\n\
                2026-01-01T00:00:03Z,a,0,60,held_too_long,503\n\n\
                2026-01-01T00:00:02Z,\"a\",0.25,0,success,200\n";
    let options = Options {
        model: Some("a".into()),
        ..Options::default()
    };
    let trace = read(text.as_bytes(), &options).unwrap();
    assert_eq!(trace.requests(), [request(0.0, 0.5), request(1.0, 0.25)]);
    assert_eq!(whole(text).unwrap().requests().len(), 3);
}

#[test]
fn says_what_is_wrong_where_and_what_is_expected() {
    for (text, expected) in [
        (
            "",
            "line 1: found the columns \"\", expected a column named timestamp",
        ),
        (
            "timestamp,model\n",
            "line 1: found the columns \"timestamp,model\", expected a column named service_seconds, \
             or context_tokens and generated_tokens",
        ),
        (
            "timestamp,service\n1,2\nx,2\n",
            "line 3: timestamp: found \"x\", expected seconds, or a time such as 2023-11-16 18:17:03.98 or \
             2023-11-16T18:17:03Z",
        ),
        (
            "timestamp,service\n1,-2\n",
            "line 2: service_seconds: found \"-2\", expected seconds, 0 to 1000000000",
        ),
        (
            "timestamp,service\n1\n",
            "line 2: service_seconds: found \"\", expected seconds, 0 to 1000000000",
        ),
        ("timestamp,service\n", "there is no request in it"),
    ] {
        assert_eq!(whole(text).unwrap_err(), expected, "{text:?}");
    }
}

#[test]
fn service_models_are_three_numbers() {
    assert_eq!("0.05,0.0001,0.02".parse(), Ok(ServiceModel::default()));
    for wrong in ["", "1", "1,2", "1,2,3,4", "1,x,3", "-1,0,0", "nan,0,0"] {
        assert!(wrong.parse::<ServiceModel>().is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, bytes: Vec<u8>) {
        let _ = (whole(&text), read(&bytes[..], &Options::default()));
    }

    #[test]
    fn no_line_makes_it_panic(lines in proptest::collection::vec("[-0-9.,:T Zxe\"]{0,30}", 0..20)) {
        let _ = whole(&format!("timestamp,service\n{}", lines.join("\n")));
        let _ = whole(&format!("timestamp,contexttokens,status\n{}", lines.join("\n")));
    }

    #[test]
    fn what_is_written_is_read_back(times in proptest::collection::vec((0u32..100_000, 0u32..1000), 1..50)) {
        let mut text = "timestamp,service_seconds\n".to_owned();
        for (at, service) in &times {
            text += &format!("{at},{service}\n");
        }
        let first = times.iter().map(|t| t.0).min().unwrap();
        let expected: Trace = times.iter()
            .map(|&(at, service)| request(f64::from(at - first), f64::from(service))).collect();
        prop_assert_eq!(whole(&text).unwrap(), expected);
    }
}
