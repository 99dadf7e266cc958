//! stub
/// stub
pub async fn sweep(_: &mut sqlx::PgConnection, _: std::time::Duration) -> crate::error::Result<()> {
    Ok(())
}
