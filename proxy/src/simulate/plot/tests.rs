use super::*;
use tailback_scaler::simulate::{Comparison, Conditions, Contender, Setup, shapes::Shape};

fn report(source: &str) -> Report {
    let trace = Shape::Bursts.trace(1);
    let mut setup = Setup::new(Conditions::default(), None, 1, 100);
    setup.conditions.timeline = Some(slice(trace.end()));
    Report {
        comparison: Comparison::run(&trace, &Contender::ALL[..3], &setup),
        source: source.to_owned(),
        not_served: 0,
        cut_off: 0,
        fields: Default::default(),
        price: None,
        model: None,
        setup,
    }
}

#[test]
fn an_svg_has_a_panel_for_each_policy_and_escapes_text() {
    let report = report("<a> & \"b\"");
    let text = String::from_utf8(render(PictureFormat::Svg, &report).unwrap()).unwrap();
    for expected in [
        "&lt;a&gt; &amp; ",
        "lag-step",
        "knative",
        "requests",
        "replicas ready",
        "since the first request",
        "concurrency 8, threshold 8",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    assert!(!text.contains("NaN"), "every point is somewhere");
    assert!(text.len() < 100_000, "{} bytes", text.len());
}

#[test]
fn a_page_has_the_same_and_nothing_ends_its_data_early() {
    let report = Report {
        price: Some(2.0),
        ..report("</script><b>")
    };
    let text = String::from_utf8(render(PictureFormat::Html, &report).unwrap()).unwrap();
    let (_, data) = text.split_once("id=\"data\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert!(
        data["title"]
            .as_str()
            .unwrap()
            .starts_with("</script><b>: ")
    );
    let policies = data["policies"].as_array().unwrap();
    assert_eq!(policies.len(), 3);
    for policy in policies {
        let length = policy["time"].as_array().unwrap().len();
        assert!(length > 100 && length <= 1_001, "{length}");
        for line in ["demand", "inFlight", "held", "desired", "ready"] {
            assert_eq!(policy[line].as_array().unwrap().len(), length, "{line}");
        }
        assert!(policy["summary"].as_str().unwrap().contains(", costs "));
    }
}

#[test]
fn png_is_of_its_size_and_has_text_and_all_colours() {
    let image = render(PictureFormat::Png, &report("bursts")).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(image))
        .read_info()
        .unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!((info.width, info.height), (WIDTH, HEAD + 3 * PANEL + FOOT));
    let has = |RGBColor(r, g, b)| bytes.chunks(3).any(|pixel| pixel == [r, g, b]);
    for colour in [INK, DEMAND, IN_FLIGHT, HELD, DESIRED, READY] {
        assert!(has(colour), "{colour:?}");
    }
}

#[test]
fn trace_of_one_moment_and_one_where_nobody_is_served_can_be_drawn() {
    use tailback_scaler::{
        clock::Nanos,
        simulate::{Request, StartUp, Trace},
    };
    for start_up in [StartUp::Constant(Duration::ZERO), StartUp::Never] {
        for concurrency in [Some(1), None] {
            let trace: Trace = std::iter::repeat_n(
                Request {
                    at: Nanos(0),
                    service: Duration::ZERO,
                },
                3,
            )
            .collect();
            let conditions = Conditions {
                concurrency,
                start_up: start_up.clone(),
                initial: 0,
                timeline: Some(slice(trace.end())),
                ..Conditions::default()
            };
            let setup = Setup::new(conditions, None, 0, u32::MAX);
            let report = Report {
                comparison: Comparison::run(&trace, &Contender::ALL[..2], &setup),
                setup,
                ..report("one moment")
            };
            for format in [PictureFormat::Svg, PictureFormat::Png, PictureFormat::Html] {
                assert!(!render(format, &report).unwrap().is_empty());
            }
        }
    }
}

#[test]
fn request_that_takes_days_does_not_take_a_slice_for_each_moment() {
    let request = tailback_scaler::simulate::Request {
        at: Default::default(),
        service: Duration::from_secs(1_000_000),
    };
    let trace: tailback_scaler::simulate::Trace = [request].into_iter().collect();
    let mut setup = Setup::new(Conditions::default(), None, 1, 100);
    setup.conditions.timeline = Some(slice(trace.end()));
    let report = Report {
        comparison: Comparison::run(&trace, &Contender::ALL[..1], &setup),
        setup,
        ..report("long")
    };
    let comparison = &report.comparison;
    let slices = comparison.demand.len() + comparison.outcomes[0].timeline.len();
    assert!(slices <= 2 * SLICES as usize + 2, "{slices}");
    let text = String::from_utf8(render(PictureFormat::Svg, &report).unwrap()).unwrap();
    assert!(text.contains("days since the first request"));
}

#[test]
fn the_picture_format_follows_from_the_file_name() {
    let format = |text: &str| text.parse().map(|picture: PictureFile| picture.format);
    assert_eq!(format("a/b.svg"), Ok(PictureFormat::Svg));
    assert_eq!(format("b.PNG"), Ok(PictureFormat::Png));
    assert_eq!(format("c.html"), Ok(PictureFormat::Html));
    for wrong in ["", "svg", "a.pdf"] {
        assert!(
            format(wrong)
                .unwrap_err()
                .ends_with("expected a file that ends in .svg, .png or .html")
        );
    }
}

#[test]
fn settings_are_wrapped_between_words() {
    let lines = wrapped(&"word ".repeat(60));
    assert!(lines.iter().all(|line| line.len() <= LINE));
    assert_eq!(lines.join(" ").trim(), "word ".repeat(60).trim());
    assert_eq!(wrapped(&"x".repeat(2 * LINE))[0].len(), LINE);
}
