-- The registry's work as PostgreSQL would do it: the same unique numbers and indexes, every version kept, the outcome under the
-- idempotency key, an event and an audit record, all in one transaction and one round trip. Each record is stored once.
create table person (
  id bigint generated always as identity primary key,
  pin text not null unique,
  cmnd text unique,
  form text not null unique,
  search_name text not null,
  birth_date text not null,
  version int not null
);
create index person_name on person (search_name, birth_date);

create table person_version (
  person bigint not null,
  version int not null,
  record bytea not null,
  office text not null,
  recorded_at timestamptz not null,
  primary key (person, version)
);

create table outcome (
  principal text not null,
  key bytea not null,
  fingerprint bytea not null,
  person bigint not null,
  version int not null,
  decided_at timestamptz not null,
  primary key (principal, key)
);

create table event (
  sequence bigint generated always as identity primary key,
  kind smallint not null,
  person bigint not null,
  version int not null,
  happened_at timestamptz not null
);

create table audit (
  id bigint generated always as identity primary key,
  principal text not null,
  action smallint not null,
  person bigint not null,
  decided_at timestamptz not null
);

create function register_person(
  p_principal text, p_key bytea, p_pin text, p_cmnd text, p_form text, p_name text, p_birth_date text, p_office text, p_record bytea
) returns bigint language plpgsql as $$
declare
  v_person bigint;
  v_known bytea;
  v_fingerprint bytea := sha256(p_record);
begin
  select person, fingerprint into v_person, v_known from outcome where principal = p_principal and key = p_key;
  if found then
    if v_known <> v_fingerprint then
      raise exception 'the key was used for another command';
    end if;
    return v_person;
  end if;
  insert into person (pin, cmnd, form, search_name, birth_date, version)
    values (p_pin, p_cmnd, p_form, lower(p_name), p_birth_date, 1) returning id into v_person;
  insert into person_version values (v_person, 1, p_record, p_office, now());
  insert into outcome values (p_principal, p_key, v_fingerprint, v_person, 1, now());
  insert into event (kind, person, version, happened_at) values (1, v_person, 1, now());
  insert into audit (principal, action, person, decided_at) values (p_principal, 1, v_person, now());
  return v_person;
end
$$;

create table raw_value (key text primary key, value bytea not null);
