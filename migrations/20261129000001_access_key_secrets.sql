-- When the secret of an access key was exchanged for another; null if it has the one that it was made with.

alter table access_keys add column secret_set_at timestamptz;
