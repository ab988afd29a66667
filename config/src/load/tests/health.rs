//! How the health of replicas is judged, as manifests say it.

use super::*;
use crate::OutlierDetection;

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
