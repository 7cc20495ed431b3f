//! pen, the balancer.

fn main() {}
