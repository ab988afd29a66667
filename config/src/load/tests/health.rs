//! How the health of replicas is judged, as manifests say it.

use super::*;
use crate::{HealthCheck, OutlierDetection, Readiness, SlowStart};

fn outlier_detection(server: &str) -> (Option<OutlierDetection>, String) {
    let config = parse(&with_server(server, ""));
    let shown = crate::describe(&config);
    (config.models["m"].server.outlier_detection, shown)
}

#[test]
fn replicas_that_fail_are_ejected_unless_a_server_says_otherwise() {
    let (found, shown) = outlier_detection("");
    assert_eq!(found, Some(OutlierDetection::default()));
    assert!(!shown.contains("outlierDetection"), "{shown}");
    let (found, shown) = outlier_detection("outlierDetection: none");
    assert_eq!(found, None);
    assert!(shown.contains("outlierDetection none"), "{shown}");
    let (found, shown) = outlier_detection(
        "outlierDetection: { consecutiveFailures: 3, intervalSeconds: 2, \
         failurePercentageThreshold: 10, failurePercentageRequestVolume: 7, \
         baseEjectionSeconds: 0.5, maxEjectionSeconds: 20, maxEjectionPercent: 100 }",
    );
    let expected = OutlierDetection {
        consecutive_failures: 3,
        interval: Duration::from_secs(2),
        failure_percentage_threshold: 10,
        failure_percentage_request_volume: 7,
        base_ejection: Duration::from_millis(500),
        max_ejection: Duration::from_secs(20),
        max_ejection_percent: 100,
    };
    assert_eq!(found, Some(expected));
    assert!(
        shown.contains("outlierDetection after 3 failures in a row, or 10 percentage points"),
        "{shown}"
    );
}

#[test]
fn processes_are_checked_as_they_were_at_their_start_unless_a_server_says_otherwise() {
    let server = |fields: &str| {
        let config = parse(&with_server(fields, ""));
        let shown = crate::describe(&config);
        (config.models["m"].server.clone(), shown)
    };
    let (found, shown) = server("");
    assert_eq!(found.health_check, Some(HealthCheck::default()));
    assert_eq!(
        found.health_probe(),
        Some(&Readiness::path("/v2/health/ready"))
    );
    assert!(!shown.contains("healthCheck"), "{shown}");
    let (found, shown) = server("healthCheck: none");
    assert_eq!((&found.health_check, found.health_probe()), (&None, None));
    assert!(shown.contains("healthCheck none"), "{shown}");
    let (found, _) = server("healthCheck: { probe: none }");
    assert_eq!(found.health_probe(), None);
    let (found, shown) = server(
        "healthCheck: { probe: tcp, periodSeconds: 1, timeoutSeconds: 0.5, healthyThreshold: 2, \
         unhealthyThreshold: 4, hangSeconds: none, replaceAfterSeconds: none }",
    );
    let expected = HealthCheck {
        probe: Some(Readiness::Tcp),
        period: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        healthy_threshold: 2,
        unhealthy_threshold: 4,
        hang: None,
        replace_after: None,
    };
    assert_eq!(found.health_check, Some(expected));
    assert!(
        shown.contains("healthCheck every 1 s, unhealthy after 4 and healthy after 2"),
        "{shown}"
    );
    let fixed = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: s }\n\
                 spec: { static: { endpoints: [\"http://a\"] } }\n---\n\
                 apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: m }\nspec: {}\n";
    assert_eq!(parse(fixed).models["m"].server.health_probe(), None);
}

#[test]
fn replicas_start_slowly_only_if_a_server_says_so() {
    let slow_start = |fields: &str| {
        let config = parse(&with_server(fields, ""));
        let shown = crate::describe(&config);
        (config.models["m"].server.slow_start, shown)
    };
    for off in ["", "slowStart: none"] {
        let (found, shown) = slow_start(off);
        assert_eq!(found, None);
        assert!(!shown.contains("slowStart"), "{shown}");
    }
    assert_eq!(slow_start("slowStart: {}").0, Some(SlowStart::default()));
    let (found, shown) =
        slow_start("slowStart: { windowSeconds: 90, aggression: 1.5, minWeightPercent: 5 }");
    let expected = SlowStart {
        window: Duration::from_secs(90),
        aggression_percent: 150,
        min_weight_percent: 5,
    };
    assert_eq!(found, Some(expected));
    let expected = "slowStart over 90 s from 5 %, aggression 1.5";
    assert!(shown.contains(expected), "{shown}");
}
