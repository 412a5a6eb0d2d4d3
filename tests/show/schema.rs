//! The shape of `--json` is the one that is written down. A field that is not, or of another type, fails.

use serde_json::Value;

use crate::common::program::{json_lines, run};
use crate::filled;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/query.schema.json")).unwrap()
}

/// What is wrong with a value, by those keywords of JSON Schema that the file uses.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{at}: {what}: {value}"));
    let has_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("the check does not know {other}"),
    };
    if !has_type {
        fault("wrong type");
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value))
        || schema.get("const").is_some_and(|only| only != value)
    {
        fault("not allowed");
    }
    let below = |least: f64| value.as_f64().is_some_and(|number| number < least);
    let above = |most: f64| value.as_f64().is_some_and(|number| number > most);
    if schema["minimum"].as_f64().is_some_and(below)
        || schema["maximum"].as_f64().is_some_and(above)
    {
        fault("out of range");
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            fault(&format!("{name} is missing"));
        }
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        // Fields beside the reference are known too.
        let mut target = target.clone();
        if let Some(more) = schema["properties"].as_object() {
            let known = target["properties"].as_object_mut().unwrap();
            known.extend(more.iter().map(|(name, schema)| (name.clone(), schema.clone())));
        }
        faults.extend(self::faults(root, &target, value, at));
        return faults;
    }
    for item in value.as_array().into_iter().flatten() {
        faults.extend(self::faults(root, &schema["items"], item, &format!("{at}[]")));
    }
    if schema["additionalProperties"] != true {
        for (name, field) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(name) {
                None => faults.push(format!("{at}: {name} is not written down")),
                Some(schema) => {
                    faults.extend(self::faults(root, schema, field, &format!("{at}.{name}")));
                }
            }
        }
    }
    faults
}

#[test]
fn hits_have_the_shape_that_is_written_down() {
    let (place, schema) = (filled(), schema());
    let mut n_lines = 0;
    for command in [
        &["query", "--text", "red", "--to", "any", "--json"][..],
        &["similar", "photos/sofa.jpg", "--to", "any", "--json"],
        &["random", "-k", "99", "--to", "any", "--json"],
    ] {
        let (code, stdout, _) = run(&place, command);
        assert_eq!(code, 0);
        for line in json_lines(&stdout) {
            n_lines += 1;
            assert_eq!(faults(&schema, &schema, &line, "line"), [""; 0]);
            assert_eq!(line.get("score").is_none(), command[0] == "random", "{line}");
        }
    }
    assert!(n_lines > 15, "{n_lines}");
    for line in json_lines(&run(&place, &["duplicates", "--json"]).1) {
        let mut group = schema["$defs"]["group"].clone();
        group["properties"]["version"] = schema["properties"]["version"].clone();
        assert_eq!(faults(&schema, &group, &line, "group"), [""; 0]);
    }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let schema = schema();
    let good = r#"{"version":1,"rank":1,"score":0.5,"id":7,"modality":"text","source":"file","path":"/a","image":{"id":1,"source":"tar","path":"/t","member":"b"},"metadata":{"any":[]}}"#;
    let n_faults = |line: &str| {
        let line = serde_json::from_str(line).unwrap();
        faults(&schema, &schema, &line, "line").len()
    };
    assert_eq!(n_faults(good), 0);
    for (from, to) in [
        (r#""version":1"#, r#""version":2"#),
        (r#""rank":1"#, r#""rank":0"#),
        (r#""rank":1"#, r#""rank":"1""#),
        (r#""score":0.5"#, r#""score":1.5"#),
        (r#""path":"/a""#, r#""pfad":"/a","path":"/a""#),
        (r#""path":"/a","#, ""),
        (r#""source":"tar""#, r#""source":"zip""#),
    ] {
        assert!(good.contains(from));
        assert_eq!(n_faults(&good.replacen(from, to, 1)), 1, "{to}");
    }
}
