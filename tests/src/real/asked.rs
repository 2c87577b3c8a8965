//! Tables that take long and are made when somebody wants them.

use std::env;

/// Whether the variable `NET_REAL` asks for this table; says so if it does not.
pub fn asked_for(table: &str) -> bool {
    let asked = env::var("NET_REAL").as_deref() == Ok(table);
    if !asked {
        println!("left out: NET_REAL={table} runs it");
    }
    asked
}
