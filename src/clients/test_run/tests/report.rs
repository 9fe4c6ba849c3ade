//! Report files: JUnit's XML and where it lies.

use std::time::{Duration, SystemTime};

use super::samples::sample;
use super::samples::write;
use crate::clients::test_run::{Framework, ReportFile, ReportFormat, collect_report, read_junit};

const BEGINNING: SystemTime = SystemTime::UNIX_EPOCH;

fn surefire() -> ReportFile {
    ReportFile {
        path: "**/target/surefire-reports/TEST-*.xml".to_owned(),
        format: ReportFormat::Junit,
    }
}

#[test]
fn suites_may_be_nested_and_errors_stand_outside_of_cases() {
    let xml = r#"<?xml version="1.0"?>
<testsuites tests="99">
  <testsuite name="outer">
    <testsuite name="inner" file="a.py">
      <testcase name="one"/>
      <testcase name="two" file="a.py" line="7"><failure message="1 &lt; 2 &amp;amp; &#x41;">trace &gt; here</failure></testcase>
      <testcase name="three"><skipped/></testcase>
      <testcase name="four"><error type="E"><![CDATA[boom <&> ]]></error><failure message="again"/></testcase>
      <testcase name="five"><system-out>not ok</system-out><rerunFailure message="flaky"/></testcase>
    </testsuite>
    <error message="the suite could not start"/>
  </testsuite>
</testsuites>"#;
    let summary = read_junit(xml).expect("a report");
    assert_eq!((summary.passed, summary.failed, summary.skipped), (2, 3, 1));
    assert!(summary.complete);
    let told: Vec<(&str, &str)> =
        summary.failures.iter().map(|f| (f.name.as_str(), f.message.as_str())).collect();
    assert_eq!(
        told,
        [
            ("inner.two", "1 < 2 &amp; A\ntrace > here"),
            ("inner.four", "boom <&>"),
            ("outer", "the suite could not start"),
        ]
    );
    assert_eq!(
        (summary.failures[0].file.as_deref(), summary.failures[0].line),
        (Some("a.py"), Some(7))
    );
}

#[test]
fn a_report_that_ends_early_gives_what_was_in_it() {
    let whole = sample("junit_surefire.txt");
    let half = &whole[..whole.find("addsWrongly").expect("the last case")];
    let summary = read_junit(half).expect("a report");
    assert_eq!((summary.passed, summary.failed, summary.skipped), (1, 1, 1));
    assert!(!summary.complete);
    assert_eq!(read_junit("no XML at all"), None);
    assert_eq!(read_junit("<html><body/></html>"), None);
    assert_eq!(read_junit(""), None);
}

#[test]
fn entities_are_not_expanded() {
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<testsuite name="s"><testcase name="t"><failure message="&b;">&b;</failure></testcase></testsuite>"#;
    let summary = read_junit(bomb).expect("a report");
    assert_eq!(summary.failed, 1);
    assert!(!summary.failures[0].message.contains("aaaa"));
}

#[test]
fn reports_of_all_modules_are_summed() {
    let scratch = tempfile::tempdir().expect("a folder is made");
    write(scratch.path(), "target/surefire-reports/TEST-a.xml", &sample("junit_surefire.txt"));
    write(
        scratch.path(),
        "deep/module/target/surefire-reports/TEST-b.xml",
        &sample("junit_surefire.txt"),
    );
    write(scratch.path(), "deep/module/target/surefire-reports/TEST-c.txt", "no report");
    write(scratch.path(), "target/other/TEST-d.xml", &sample("junit_surefire.txt"));
    let summary = collect_report(scratch.path(), &surefire(), BEGINNING).expect("reports");
    assert_eq!((summary.passed, summary.failed, summary.skipped), (2, 4, 2));
    assert_eq!(summary.framework, Framework::Junit);
}

#[test]
fn reports_of_an_earlier_run_are_not_read() {
    let scratch = tempfile::tempdir().expect("a folder is made");
    write(scratch.path(), "target/surefire-reports/TEST-a.xml", &sample("junit_surefire.txt"));
    let later = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(collect_report(scratch.path(), &surefire(), later), None);
}
