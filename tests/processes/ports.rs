//! Ports that are known before somebody listens on them.

use tokio::net::TcpSocket;

/// A port that nobody listens on. While its socket lives the system gives it to nobody else, and who sets SO_REUSEADDR, as
/// tokio and so the broker does, may listen on it.
pub fn held_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}
