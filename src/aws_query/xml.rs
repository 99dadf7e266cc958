//! The XML of AWS Query answers: heads, bodies and errors
//! (<https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#response-serialization>).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;

use crate::cognito::fault::Fault;
use crate::error::{Error, Result};
use crate::request::RequestId;

/// What an answer is of: its namespace, and the name of the operation.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The service's XML namespace.
    pub namespace: &'static str,
    /// The operation.
    pub operation: &'static str,
}

/// The namespace of errors that are told before it is known which service was meant.
pub const NO_SERVICE: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/xml");

/// The body of a success: `output` as elements, members of lists in `member`. Nothing stands for `null`.
///
/// # Errors
/// [`Error::Internal`] if it cannot be written.
pub fn success(named: Named, output: &Value, id: &RequestId) -> Result<Vec<u8>> {
    let Named { namespace, operation } = named;
    document(&format!("{operation}Response"), namespace, |xml| {
        if !output.is_null() {
            element(xml, &format!("{operation}Result"), output)?;
        }
        element(xml, "ResponseMetadata", &serde_json::json!({ "RequestId": id.as_str() }))
    })
    .map_err(Error::internal)
}

fn failure(namespace: &str, fault: &Fault, id: &RequestId) -> Vec<u8> {
    let sender = if fault.status.is_server_error() { "Receiver" } else { "Sender" };
    let written = document("ErrorResponse", namespace, |xml| {
        // In AWS's order.
        xml.create_element("Error").write_inner_content(|xml| {
            element(xml, "Type", &sender.into())?;
            element(xml, "Code", &fault.exception.into())?;
            element(xml, "Message", &fault.message.as_deref().unwrap_or_default().into())
        })?;
        element(xml, "RequestId", &id.as_str().into())
    });
    // Into memory: it cannot fail.
    written.unwrap_or_default()
}

/// The response to a call: its body, or its fault.
#[must_use]
pub fn response(result: Result<Vec<u8>, Fault>, namespace: &str, id: &RequestId) -> Response<Body> {
    let (status, body, fault) = match result {
        Ok(body) => (StatusCode::OK, body, None),
        Err(fault) => (fault.status, failure(namespace, &fault, id), Some(fault)),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert("x-amzn-requestid", id.header());
    if let Some(fault) = fault {
        if fault.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if fault.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

type Xml = Writer<Vec<u8>>;

fn document(
    root: &str,
    namespace: &str,
    content: impl FnOnce(&mut Xml) -> std::io::Result<()>,
) -> std::io::Result<Vec<u8>> {
    let mut xml = Writer::new(Vec::new());
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element(root).with_attribute(("xmlns", namespace)).write_inner_content(content)?;
    Ok(xml.into_inner())
}

fn element(xml: &mut Xml, name: &str, value: &Value) -> std::io::Result<()> {
    xml.write_event(Event::Start(BytesStart::new(name)))?;
    match value {
        Value::Null => {}
        Value::Object(members) => {
            members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .try_for_each(|(name, value)| element(xml, name, value))?;
        }
        Value::Array(list) => list.iter().try_for_each(|value| element(xml, "member", value))?,
        Value::String(text) => xml.write_event(Event::Text(BytesText::new(text)))?,
        Value::Bool(_) | Value::Number(_) => xml.write_event(Event::Text(BytesText::new(&value.to_string())))?,
    }
    xml.write_event(Event::End(BytesEnd::new(name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAMED: Named = Named { namespace: "https://example.com/doc/", operation: "GetThing" };

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn an_output_becomes_elements() {
        let id = RequestId::default();
        let output = json!({ "List": ["a", "<b>&\"c\" "], "Empty": [], "Flag": false, "Count": 3, "Gone": null,
                             "Pairs": [{ "Key": "k", "Value": "" }] });
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><GetThingResponse xmlns=\"https://example.com/doc/\"><GetThingResult>\
             <Count>3</Count><Empty></Empty><Flag>false</Flag><List><member>a</member>\
             <member>&lt;b&gt;&amp;&quot;c&quot; </member></List>\
             <Pairs><member><Key>k</Key><Value></Value></member></Pairs></GetThingResult>\
             <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></GetThingResponse>",
            id.as_str()
        );
        assert_eq!(text(success(NAMED, &output, &id).unwrap()), expected);
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><GetThingResponse xmlns=\"https://example.com/doc/\">\
             <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></GetThingResponse>",
            id.as_str()
        );
        assert_eq!(text(success(NAMED, &Value::Null, &id).unwrap()), expected);
    }

    #[test]
    fn an_error_tells_who_has_erred() {
        let id = RequestId::default();
        let expected = |kind: &str, rest: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ErrorResponse xmlns=\"https://example.com/doc/\"><Error>\
                 <Type>{kind}</Type>{rest}</Error><RequestId>{}</RequestId></ErrorResponse>",
                id.as_str()
            )
        };
        let fault = Fault::new("InvalidInput", "a < b");
        assert_eq!(
            text(failure(NAMED.namespace, &fault, &id)),
            expected("Sender", "<Code>InvalidInput</Code><Message>a &lt; b</Message>")
        );
        let fault = Fault { status: StatusCode::INTERNAL_SERVER_ERROR, ..Fault::new("ServiceFailure", "x") };
        let rest = "<Code>ServiceFailure</Code><Message>x</Message>";
        assert_eq!(text(failure(NAMED.namespace, &fault, &id)), expected("Receiver", rest));
    }
}
