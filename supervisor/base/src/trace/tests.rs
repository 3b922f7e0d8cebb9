//! The header cases of W3C Trace Context, levels 1 and 2.

use std::time::Duration;

use super::*;

/// What the `traceparent` fields of a request come to.
fn joined(parents: &[&str]) -> Option<TraceContext> {
    TraceHeaders::read(parents.iter().map(|p| p.as_bytes()), []).map(|headers| headers.context)
}

/// What the `tracestate` fields of a request in a trace come to, as they are sent on.
fn sent_on(states: &[&str]) -> String {
    let headers = TraceHeaders::read([PARENT.as_bytes()], states.iter().map(|s| s.as_bytes()));
    let headers = headers.expect("a tracestate never harms the traceparent");
    assert_eq!(headers.context.to_string(), PARENT);
    headers.state.to_string()
}

fn invalid(text: &str) -> InvalidTraceState {
    assert_eq!(sent_on(&["foo=1", text]), "", "nothing of it is sent on: {text}");
    text.parse::<TraceState>().expect_err(text)
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

#[test]
fn a_traceparent_survives_the_round_trip_with_the_flags_that_are_known() {
    for (given, sent, sampled, random) in [
        ("00", "00", false, false),
        ("01", "01", true, false),
        ("02", "02", false, true),
        ("03", "03", true, true),
        ("04", "00", false, false),
        ("fd", "01", true, false),
        ("ff", "03", true, true),
    ] {
        let trace = joined(&[&format!("00-{IDS}-{given}")]).expect(given);
        assert_eq!((trace.sampled, trace.random), (sampled, random), "{given}");
        assert_eq!(trace.to_string(), format!("00-{IDS}-{sent}"));
        let child = trace.child(&Env::system());
        assert_eq!((child.sampled, child.random, child.trace_id), (sampled, random, trace.trace_id));
        assert_ne!(child.span_id, trace.span_id);
    }
}

#[test]
fn a_later_version_is_joined_by_what_it_shares_with_version_00() {
    for version in ["cc", "01", "fe"] {
        for rest in ["", "-", "-what-the-future-will-be-like", "-\u{e9}"] {
            let trace = joined(&[&format!("{version}-{IDS}-01{rest}")]);
            assert_eq!(trace.map(|t| t.to_string()).as_deref(), Some(PARENT), "{version} {rest}");
        }
        for rest in [".", ".what-the-future-will-be-like", "0", "1-", "\u{e9}"] {
            assert_eq!(joined(&[&format!("{version}-{IDS}-01{rest}")]), None, "{version} {rest}");
        }
        assert_eq!(joined(&[&format!("{version}-{IDS}-1")]), None);
        assert_eq!(joined(&[&format!("{version}-{IDS}")]), None);
    }
}

#[test]
fn version_00_has_exactly_55_characters_and_version_ff_is_none() {
    for rest in ["-", ".", "0", "-what-the-future-will-be-like"] {
        assert_eq!(joined(&[&format!("{PARENT}{rest}")]), None, "{rest}");
    }
    for text in [format!("ff-{IDS}-01"), format!("ff-{IDS}-01-more")] {
        assert_eq!(joined(&[&text]), None, "{text}");
    }
}

#[test]
fn malformed_contexts_are_refused() {
    let (trace, span) = ("12345678901234567890123456789012", "1234567890123456");
    for text in [
        "".to_string(),
        "00".into(),
        "nonsense".into(),
        "-".repeat(TEXT_BYTES),
        // The version: illegal characters, too long, too short, in upper case.
        format!(".0-{trace}-{span}-01"),
        format!("0.-{trace}-{span}-01"),
        format!("000-{trace}-{span}-01"),
        format!("0000-{trace}-{span}-01"),
        format!("0-{trace}-{span}-01"),
        format!("-{trace}-{span}-01"),
        format!("CC-{trace}-{span}-01"),
        // The trace id: zero, illegal characters, too long, too short, in upper case.
        format!("00-{}-{span}-01", "0".repeat(32)),
        format!("00-.2345678901234567890123456789012-{span}-01"),
        format!("00-1234567890123456789012345678901.-{span}-01"),
        format!("00-+2345678901234567890123456789012-{span}-01"),
        format!("00-{trace}3-{span}-01"),
        format!("00-1234567890123456789012345678901-{span}-01"),
        format!("00-4BF92F3577B34DA6A3CE929D0E0E4736-{span}-01"),
        // The span id, likewise.
        format!("00-{trace}-{}-01", "0".repeat(16)),
        format!("00-{trace}-.234567890123456-01"),
        format!("00-{trace}-123456789012345.-01"),
        format!("00-{trace}-{span}7-01"),
        format!("00-{trace}-123456789012345-01"),
        format!("00-{trace}-00F067AA0BA902B7-01"),
        // The flags, likewise; 0 is fine.
        format!("00-{trace}-{span}-.0"),
        format!("00-{trace}-{span}-0."),
        format!("00-{trace}-{span}-001"),
        format!("00-{trace}-{span}-1"),
        format!("00-{trace}-{span}-"),
        format!("00-{trace}-{span}"),
        format!("00-{trace}-{span}-0A"),
        // Other delimiters.
        format!("00_{trace}-{span}-01"),
        format!("00-{trace}_{span}-01"),
        format!("00-{trace}-{span}_01"),
        format!("00-{trace} {span}-01"),
    ] {
        assert_eq!(joined(&[&text]), None, "{text}");
        assert_eq!(text.parse::<TraceContext>(), Err(InvalidTraceContext), "{text}");
    }
    assert_eq!(TraceContext::read(&[0xff; TEXT_BYTES]), Err(InvalidTraceContext));
}

#[test]
fn whitespace_around_a_traceparent_is_none_of_it() {
    for text in [format!(" {PARENT}"), format!("\t{PARENT}"), format!("{PARENT} "), format!("\t {PARENT} \t")] {
        assert_eq!(joined(&[&text]).map(|t| t.to_string()).as_deref(), Some(PARENT), "{text:?}");
    }
    assert_eq!(joined(&[&format!("\n{PARENT}")]), None);
}

#[test]
fn no_traceparent_and_several_of_them_begin_a_new_trace_without_the_state() {
    let another = "00-12345678901234567890123456789012-1234567890123456-01";
    for parents in [&[][..], &[PARENT, another], &[PARENT, PARENT], &[PARENT, ""], &["", PARENT], &["nonsense"]] {
        let states = ["foo=1".as_bytes(), b"bar=2"];
        assert_eq!(TraceHeaders::read(parents.iter().map(|p| p.as_bytes()), states), None, "{parents:?}");
    }
}

#[test]
fn a_root_is_random_in_its_last_bytes_and_never_zero() {
    let env = Env::simulated(1, Duration::from_secs(1));
    let roots: Vec<_> = std::iter::repeat_with(|| TraceContext::root(&env)).take(64).collect();
    let (mut ones, mut zeros) = (0, 0);
    for root in &roots {
        assert!(root.random && !root.sampled && root.trace_id >> 64 != 0 && root.span_id != 0);
        assert!(root.to_string().ends_with("-02"));
        (ones, zeros) = (ones | root.trace_id as u64, zeros | !root.trace_id as u64);
    }
    assert_eq!((ones, zeros), (u64::MAX, u64::MAX), "each bit of the last 8 bytes is 1 in some and 0 in others");
}

#[test]
fn a_tracestate_is_sent_on_as_it_came() {
    assert_eq!(sent_on(&["foo=1"]), "foo=1");
    assert_eq!(sent_on(&["foo=1,bar=2"]), "foo=1,bar=2");
    assert_eq!(sent_on(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]), "foo=1,bar=2,rojo=1,congo=2,baz=3");
    let state: TraceState = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".parse().unwrap();
    assert_eq!((state.get("congo"), state.get("con"), state.get("")), (Some("t61rcWkgMzE"), None, None));
}

#[test]
fn empty_tracestates_and_empty_members_are_allowed_and_not_sent() {
    for states in [&[][..], &[""], &["", ""], &[" \t"], &[","], &[" , ,\t"]] {
        assert_eq!(sent_on(states), "", "{states:?}");
    }
    assert_eq!(sent_on(&["foo=1", ""]), "foo=1");
    assert_eq!(sent_on(&["", "foo=1"]), "foo=1");
    assert_eq!(sent_on(&["foo=1,,bar=2, ,"]), "foo=1,bar=2");
    let many = format!("{},{}", ",".repeat(100), numbered(1..=32));
    assert_eq!(sent_on(&[&many]), numbered(1..=32), "empty members do not count");
    assert!(TraceState::default().is_empty() && "".parse() == Ok(TraceState::default()));
    assert_eq!(TraceState::default().get("foo"), None);
}

#[test]
fn whitespace_around_members_is_left_out_and_before_a_value_belongs_to_it() {
    for states in ["foo=1 \t , \t bar=2, \t baz=3", "foo=1\t \t,\t \tbar=2,\t \tbaz=3"] {
        assert_eq!(sent_on(&[states]), "foo=1,bar=2,baz=3", "{states:?}");
    }
    for state in [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"] {
        assert_eq!(sent_on(&[state]), "foo=1", "{state:?}");
    }
    assert_eq!(sent_on(&["foo=  1 2  "]), "foo=  1 2");
}

/// The members `bar01=01`, `bar02=02` and so on.
fn numbered(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|n| format!("bar{n:02}={n:02}")).collect::<Vec<_>>().join(",")
}

#[test]
fn a_list_has_at_most_32_members() {
    let fields = [numbered(1..=10), numbered(11..=20), numbered(21..=30)];
    let with = |last: &str| sent_on(&[&fields[0], &fields[1], &fields[2], last]);
    assert_eq!(with("bar31=31,bar32=32"), numbered(1..=32));
    assert_eq!(with("bar31=31,bar32=32,bar33=33"), "");
    assert_eq!(with("bar31=31,bar32=32,bar32=32"), "", "one that is there already counts");
    assert_eq!(numbered(1..=33).parse::<TraceState>(), Err(InvalidTraceState::TooManyMembers));
}

#[test]
fn of_one_key_the_first_member_is_sent_on() {
    assert_eq!(sent_on(&["foo=1,foo=1"]), "foo=1");
    assert_eq!(sent_on(&["foo=1,foo=2"]), "foo=1");
    assert_eq!(sent_on(&["foo=1", "foo=1"]), "foo=1");
    assert_eq!(sent_on(&["foo=1", "bar=3,foo=2,baz=4"]), "foo=1,bar=3,baz=4");
    assert_eq!(sent_on(&["foo=1", "foo=,"]), "", "the second is read all the same");
}

#[test]
fn keys_have_the_grammar_of_level_2() {
    let simple = format!("{}0123456789_-*/", ('a'..='z').collect::<String>());
    let tenant = format!("{simple}@a-z0-9_-*/");
    let long = ["z".repeat(256), format!("{}@{}", "t".repeat(241), "v".repeat(14))];
    for key in [&simple, &tenant, &long[0], &long[1]].map(String::as_str).into_iter().chain([
        "f",
        "0",
        "0foo",
        "foo@",
        "foo@@bar",
        "foo@bar@baz",
        "fw529a3039@dt",
        &format!("{}@v", "t".repeat(242)),
        &format!("t@{}", "v".repeat(15)),
    ]) {
        let member = format!("{key}=1");
        assert_eq!(sent_on(&["foo1=1", &member]), format!("foo1=1,{member}"));
    }
    let too_long = ["z".repeat(257), format!("{}@v", "t".repeat(255))];
    for key in
        ["", "foo ", "f oo", "foo\t", "FOO", "fOO", "foo.bar", "@foo", "_foo", "-foo", "*", "/a", "f\u{e9}", "f:"]
            .into_iter()
            .chain(too_long.iter().map(String::as_str))
    {
        assert_eq!(invalid(&format!("{key}=1,bar=2")), InvalidTraceState::Key, "{key:?}");
    }
}

#[test]
fn values_are_printable_and_have_no_comma_and_no_equals_sign() {
    let all: String = (0x20..=0x7e).map(char::from).filter(|c| !matches!(c, ',' | '=')).collect();
    let longest = "v".repeat(256);
    for value in [all.as_str(), &longest, "@", "a b"] {
        assert_eq!(sent_on(&[&format!("foo={value}")]), format!("foo={value}"));
    }
    assert_eq!(sent_on(&[&format!("foo={longest}  ")]), format!("foo={longest}"), "spaces behind it do not count");
    for value in ["bar=baz", "=", "", " ", "a\tb", "a\nb", "a\rb", "\u{7f}", "\u{e9}", "a\0", &"v".repeat(257)] {
        assert_eq!(invalid(&format!("foo={value},bar=3")), InvalidTraceState::Value, "{value:?}");
    }
    for member in ["foo", "foo,bar=1", "bar=1,foo"] {
        assert_eq!(invalid(member), InvalidTraceState::NoValue, "{member}");
    }
    assert_eq!(TraceState::read([&[b'a', b'=', 0xff][..]]), Err(InvalidTraceState::Value));
}

#[test]
fn over_the_bound_long_members_are_dropped_first_and_then_those_at_the_end() {
    let member = |key: &str, bytes: usize| format!("{key}={}", "v".repeat(bytes - key.len() - 1));
    let short: Vec<_> = (1..=10).map(|n| member(&format!("s{n:02}"), 100)).collect();
    let (long, longer) = ([member("l1", 129)], [member("l2", 250)]);
    // 10 short ones with their commas have 1,009 bytes: alone they fit.
    let all = [&long, &short[..5], &longer, &short[5..]].concat().join(",");
    assert_eq!(sent_on(&[&all]), short.join(","));
    let one_long = [&long, &short[..8], &longer].concat().join(",");
    assert_eq!(sent_on(&[&one_long]), [&long, &short[..8]].concat().join(","), "of the long ones the last goes first");
    let many: Vec<_> = (1..=32).map(|n| member(&format!("s{n:02}"), 128)).collect();
    let kept = sent_on(&[&many.join(",")]);
    assert_eq!(kept, many[..7].join(","), "8 would have 1,031 bytes");
    let most = [member("a", 255), member("b", 255), member("c", 255), member("d", 256)].join(",");
    assert_eq!((most.len(), sent_on(&[&most])), (1_024, most.clone()));
    assert_eq!(sent_on(&[&kept]), kept, "what was sent on is sent on whole");
}

#[test]
fn the_fields_of_a_request_within_the_trace_are_both_or_the_parent_alone() {
    let fields = |states: &[&str]| {
        let headers = TraceHeaders::read([PARENT.as_bytes()], states.iter().map(|s| s.as_bytes())).unwrap();
        headers.fields().collect::<Vec<_>>()
    };
    assert_eq!(fields(&[]), [(TRACEPARENT, PARENT.to_string())]);
    assert_eq!(fields(&["a=1 ", "b=2"]), [(TRACEPARENT, PARENT.to_string()), (TRACESTATE, "a=1,b=2".to_string())]);
}

#[test]
fn what_travels_with_every_message_is_small() {
    assert_eq!((size_of::<TraceContext>(), size_of::<TraceState>()), (32, size_of::<usize>()));
}
