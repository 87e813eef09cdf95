CREATE TABLE public.devices (
    id bigint NOT NULL,
    uuid character varying(36) NOT NULL,
    name character varying(100) NOT NULL,
    key character varying(64) NOT NULL,
    next_key character varying(64),
    added_ms bigint NOT NULL,
    revoked_ms bigint,
    last_seen_ms bigint,
    address character varying(45)
);
CREATE SEQUENCE public.devices_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.devices_id_seq OWNED BY public.devices.id;
CREATE TABLE public.heartbeats (
    id bigint NOT NULL,
    device character varying(36) NOT NULL,
    record_id character varying(32) NOT NULL,
    address character varying(45),
    at_ms bigint NOT NULL,
    received_ms bigint NOT NULL,
    protocol character varying(8) NOT NULL,
    signed bytea NOT NULL,
    signature bytea NOT NULL,
    key character varying(64) NOT NULL,
    request bigint
);
CREATE SEQUENCE public.heartbeats_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.heartbeats_id_seq OWNED BY public.heartbeats.id;
CREATE TABLE public.invitations (
    secret_sha256 character varying(64) NOT NULL,
    name character varying(100),
    expires_ms bigint NOT NULL,
    used_ms bigint,
    device character varying(36)
);
CREATE TABLE public.keys (
    fingerprint character varying(64) NOT NULL,
    pem text NOT NULL
);
CREATE TABLE public.pours (
    id bigint NOT NULL,
    device character varying(36) NOT NULL,
    record_id character varying(32) NOT NULL,
    pin integer NOT NULL,
    pulses integer NOT NULL,
    elapsed_ms integer NOT NULL,
    started_ms bigint NOT NULL,
    received_ms bigint NOT NULL,
    protocol character varying(8) NOT NULL,
    signed bytea NOT NULL,
    signature bytea NOT NULL,
    key character varying(64) NOT NULL,
    request bigint
);
CREATE SEQUENCE public.pours_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.pours_id_seq OWNED BY public.pours.id;
CREATE TABLE public.requests (
    id bigint NOT NULL,
    device character varying(36) NOT NULL,
    key character varying(64) NOT NULL,
    received_ms bigint NOT NULL,
    path text NOT NULL,
    content_type text NOT NULL,
    content_encoding text,
    content_digest text NOT NULL,
    signature_input text NOT NULL,
    signature text NOT NULL,
    content bytea NOT NULL
);
CREATE SEQUENCE public.requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.requests_id_seq OWNED BY public.requests.id;
CREATE TABLE public.temperatures (
    id bigint NOT NULL,
    device character varying(36) NOT NULL,
    record_id character varying(32) NOT NULL,
    sensor character varying(15),
    millidegrees integer NOT NULL,
    taken_ms bigint NOT NULL,
    received_ms bigint NOT NULL,
    protocol character varying(8) NOT NULL,
    signed bytea NOT NULL,
    signature bytea NOT NULL,
    key character varying(64) NOT NULL,
    request bigint
);
CREATE SEQUENCE public.temperatures_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.temperatures_id_seq OWNED BY public.temperatures.id;
ALTER TABLE ONLY public.devices ALTER COLUMN id SET DEFAULT nextval('public.devices_id_seq'::regclass);
ALTER TABLE ONLY public.heartbeats ALTER COLUMN id SET DEFAULT nextval('public.heartbeats_id_seq'::regclass);
ALTER TABLE ONLY public.pours ALTER COLUMN id SET DEFAULT nextval('public.pours_id_seq'::regclass);
ALTER TABLE ONLY public.requests ALTER COLUMN id SET DEFAULT nextval('public.requests_id_seq'::regclass);
ALTER TABLE ONLY public.temperatures ALTER COLUMN id SET DEFAULT nextval('public.temperatures_id_seq'::regclass);
INSERT INTO public.devices VALUES (1, '3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54', 'front bar', '996047cd4f17a50e27e5361caa34e0cb81287d00686a34d4e0a49342a0f43737', '519aee4cc3b2150d13f3aa4cff364dc2f8c0417e84df55655b71cd9f8e5585e1', 1763640000000, NULL, 1763640000003, NULL);
INSERT INTO public.devices VALUES (2, '11111111-2222-4333-8444-555555555555', 'back bar', 'a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5', NULL, 1763640000001, NULL, 1763640000004, NULL);
INSERT INTO public.heartbeats VALUES (1, '11111111-2222-4333-8444-555555555555', 'ee7ac7054af2c4cf0838e1888cefd8f3', NULL, 1700000000000, 1763640000004, 'v3', '\x', '\x', 'a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5', 1);
INSERT INTO public.invitations VALUES ('db4d599e8328e1d326a9940f09e935deaef826e2a85f6868b01f5e279a1a9bf7', 'back bar', 1763640060000, 1763640000001, '11111111-2222-4333-8444-555555555555');
INSERT INTO public.keys VALUES ('11a9b30e589005abfaa9b1ec102ff6854c8a7cab83cab5b7fd1339e631b642e0', '-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAt7VytkI+5+iDmvPjZaDi
8A/XEAfaYbkHkTpJ8kt3piXUPzGhaCjKQ/xTpZTNWiGxn0ArJtEWVgimIwLriN7l
oK8X/vzhkr9ui8ExboFqwJE3Hp4JYKhA7qK4xCanwy8pYc08rO7P+ADNSneDldkT
7aIo4hwuW6fX4tXo8LiKQko/Xxcy+F6l3V2z40qRQ2IOrggYXKMTbJBI6nS/c7W8
ArYVAwqAvO70v7EViQZO/QL1+PHxCHRCFSc3/b1YMVQHG4QpQValzVYlOIuO6zzL
pQASJeNCk8cEUXzWu37hjKkePHIjNv2m5wDfUuTBBPGtneaBtk278ECCDCoq044R
SQIDAQAB
-----END PUBLIC KEY-----
');
INSERT INTO public.keys VALUES ('a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5', '-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=
-----END PUBLIC KEY-----
');
INSERT INTO public.keys VALUES ('996047cd4f17a50e27e5361caa34e0cb81287d00686a34d4e0a49342a0f43737', '-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvCsjFH3OvY17dDs2qKTj
Y7Jg6VLboiAPCgKf1xv8xVw8WPuD4fFUKGUk1KpDqmU0hnBOrQqlq0a73Rsp1L8U
VCGIoGRk4fdyEat94hwEVWdipd9duZTqz0Uhf1ALuiVxeOHJr46Y1qOk20TEad13
QfHruG4g6Mnh3dOFlNxPJpGJ06Hr0rW5NBihhfNGzrPxwHNgNLGGTbm8GOcfqiu/
fiDcM6BTy+DPf27OEmudwOtYxv/RC6IIqWtBlP5/HMRRpw45A/4bWkwWIybp0g9s
jZ+MnaK6bVyJZsJxSmEczetAcXSgVHPM5JmUapKoerTn0TlU+ae5JiYg/R7XMQmA
VwIDAQAB
-----END PUBLIC KEY-----
');
INSERT INTO public.keys VALUES ('519aee4cc3b2150d13f3aa4cff364dc2f8c0417e84df55655b71cd9f8e5585e1', '-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAn1/xpr0j1NGTWzTKemqU
7/erRczTD6qpDTTl7tMTu+4VJRlVkuBL38qow3/qxPZW4/ct5KZxMH30vBSXnZIu
va/LT+os/d9lIcgP8tZZ6NaMjsunGdLMeWfcmIAK3sez6vwt5BYpUhjPIBZqu11/
axuGhv/ErVnBDt6uTc+sUUI015uhi7jEgVKbcZ8BaOEc9z0jXUx4pv1Czm693CU7
LMFhcsi76VwvGABwdU1vJ5o7yybQogIGjISpAL0MVwtBHgEwgXuZhhuTD6m9FNoS
NorAXKaYotmFjlcsKt+zF/BsDwyOl3zlOkoDL8iJB++Jp3x26IUn2PcYPTBqvsPy
gQIDAQAB
-----END PUBLIC KEY-----
');
INSERT INTO public.pours VALUES (1, '3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54', 'ac330c794ee2bf3b3e408e8ed783aab5', 0, 1, 8123, 1700000000000, 1763640000002, 'v2', '\x33663262386331652d356434372d346139362d386530622d3763316432613966366235342c302c312c383132332c31373030303030303030303030', '\x2322610b4bfeaf64e49f36c00f1be88b4f45d459f3f6f28d8a6c9dee9fb23f6473684a5eb060a47e373250b7bc3a7501ce49f612895a2cf532165cc764613bf0221146fac9ae7667fa35027f8804ef318f09685939a26706b68ce74400eab06b3ad5a0c067b10bfb1a502366b666fac6480d93ba6a7924ecf9153890845dedaa55c71b690b54c79c8c749aff17dfdeddd888eca29963a70bf2310a333f9eed5942b063ccccd98202b68925dc0641513c9ab5fd3340d00e2d5fd818b855618ac46149bfde8b8abdfbd006dd12e02f260163d284440abfb31e33f9376f45ba400c2a9b4af014c6f5a1e08968568d32497892b7510fdf185a112d34de80ca7e4c00', '11a9b30e589005abfaa9b1ec102ff6854c8a7cab83cab5b7fd1339e631b642e0', NULL);
INSERT INTO public.pours VALUES (2, '3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54', 'e00fad3e17e8ebe0ff7e5db05a0f919e', 0, 2, 8123, 1700000000000, 1763640000003, 'v2', '\x33663262386331652d356434372d346139362d386530622d3763316432613966366235342c302c322c383132332c31373030303030303030303030', '\x21a33a4eb35a21b668fbf7869d0f8f619e5b4af4509f7417fbc8da4ee20b4b89de85edf1c56868115d23b3ec40cc9dcb494ec7d2a91d15562700f9f338f1975dcf351d470cb68c21d07757f1be936eeeebe1af6befc952a47aa81e14d66cda03060577b894c2eee402390b814ad811fa6498208c6f8dcfff1f84f8c4efd001d0216e2fdb49305c264655453c8debc64254c7c89aed9d17914d34190e230bffda696de5e31e00f9c938108dd23d68cd1e1f4a83d148fb7ade38eb69353ce5c6729b37e5eec50bf3c3d755396f6daa6ec97f78a58a43f346b5af8c0bb183b13fe374b9696f1546230c1c46246282193b2374915b743bf78e8f6979e659abe3c23d', '996047cd4f17a50e27e5361caa34e0cb81287d00686a34d4e0a49342a0f43737', NULL);
INSERT INTO public.pours VALUES (3, '11111111-2222-4333-8444-555555555555', 'bee87c3660799de849609018d2dc1fe3', 0, 3, 8123, 1700000000000, 1763640000004, 'v3', '\x', '\x', 'a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5', 1);
INSERT INTO public.requests VALUES (1, '11111111-2222-4333-8444-555555555555', 'a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5', 1763640000004, '/rest/v3/records', 'application/json', NULL, 'sha-256=:3X6NZm+cVTJ7EQzHcwsXYycAMR6QZKev81BJvp7pGOQ=:', 'kegnet=("@method" "@path" "content-type" "content-digest");created=1795833228;keyid="11111111-2222-4333-8444-555555555555";alg="ed25519";tag="kegnet-v3"', 'kegnet=:n2KAmwGaNLmK0yk8c3l0CdSWov3kTsUmwuAhe3GRW0+K2KTIN0PjgdDzeFrhjsf3Vo4fWF0aYUyIxJw6gXwJBw==:', '\x7b22646576696365223a202231313131313131312d323232322d343333332d383434342d353535353535353535353535222c20227265636f726473223a205b7b226964223a20226265653837633336363037393964653834393630393031386432646331666533222c202274797065223a2022706f7572222c202270696e223a20302c202270756c736573223a20332c2022656c61707365645f6d73223a20383132332c2022737461727465645f6d73223a20313730303030303030303030307d2c207b226964223a20223532356539323138633137623638363130636432336131316432643238333165222c202274797065223a202272656164696e67222c202273656e736f72223a202232382d303331366132373935633562222c20226d696c6c6964656772656573223a20333837352c202274616b656e5f6d73223a20313730303030303030303030307d2c207b226964223a20226565376163373035346166326334636630383338653138383863656664386633222c202274797065223a2022686561727462656174222c202261745f6d73223a20313730303030303030303030307d5d7d');
INSERT INTO public.temperatures VALUES (1, '11111111-2222-4333-8444-555555555555', '525e9218c17b68610cd23a11d2d2831e', '28-0316a2795c5b', 3875, 1700000000000, 1763640000004, 'v3', '\x', '\x', 'a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5', 1);
SELECT pg_catalog.setval('public.devices_id_seq', 2, true);
SELECT pg_catalog.setval('public.heartbeats_id_seq', 1, true);
SELECT pg_catalog.setval('public.pours_id_seq', 3, true);
SELECT pg_catalog.setval('public.requests_id_seq', 1, true);
SELECT pg_catalog.setval('public.temperatures_id_seq', 1, true);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_uuid_key UNIQUE (uuid);
ALTER TABLE ONLY public.heartbeats
    ADD CONSTRAINT heartbeats_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (secret_sha256);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY public.pours
    ADD CONSTRAINT pours_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.temperatures
    ADD CONSTRAINT temperatures_pkey PRIMARY KEY (id);
CREATE INDEX devices_by_time ON public.devices USING btree (added_ms, id);
CREATE INDEX heartbeats_by_device ON public.heartbeats USING btree (device, at_ms, id);
CREATE INDEX heartbeats_by_request ON public.heartbeats USING btree (request) WHERE (request IS NOT NULL);
CREATE INDEX heartbeats_by_time ON public.heartbeats USING btree (at_ms, id);
CREATE UNIQUE INDEX heartbeats_once ON public.heartbeats USING btree (device, record_id);
CREATE INDEX pours_by_device ON public.pours USING btree (device, started_ms, id);
CREATE INDEX pours_by_device_pin ON public.pours USING btree (device, pin, started_ms, id);
CREATE INDEX pours_by_pin ON public.pours USING btree (pin, started_ms, id);
CREATE INDEX pours_by_request ON public.pours USING btree (request) WHERE (request IS NOT NULL);
CREATE INDEX pours_by_time ON public.pours USING btree (started_ms, id);
CREATE UNIQUE INDEX pours_once ON public.pours USING btree (device, record_id);
CREATE INDEX temperatures_by_device ON public.temperatures USING btree (device, taken_ms, id);
CREATE INDEX temperatures_by_device_sensor ON public.temperatures USING btree (device, sensor, taken_ms, id);
CREATE INDEX temperatures_by_request ON public.temperatures USING btree (request) WHERE (request IS NOT NULL);
CREATE INDEX temperatures_by_sensor ON public.temperatures USING btree (sensor, taken_ms, id);
CREATE INDEX temperatures_by_time ON public.temperatures USING btree (taken_ms, id);
CREATE UNIQUE INDEX temperatures_once ON public.temperatures USING btree (device, record_id);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_key_fkey FOREIGN KEY (key) REFERENCES public.keys(fingerprint);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_next_key_fkey FOREIGN KEY (next_key) REFERENCES public.keys(fingerprint);
ALTER TABLE ONLY public.heartbeats
    ADD CONSTRAINT heartbeats_device_fkey FOREIGN KEY (device) REFERENCES public.devices(uuid);
ALTER TABLE ONLY public.heartbeats
    ADD CONSTRAINT heartbeats_key_fkey FOREIGN KEY (key) REFERENCES public.keys(fingerprint);
ALTER TABLE ONLY public.heartbeats
    ADD CONSTRAINT heartbeats_request_fkey FOREIGN KEY (request) REFERENCES public.requests(id);
ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_device_fkey FOREIGN KEY (device) REFERENCES public.devices(uuid);
ALTER TABLE ONLY public.pours
    ADD CONSTRAINT pours_device_fkey FOREIGN KEY (device) REFERENCES public.devices(uuid);
ALTER TABLE ONLY public.pours
    ADD CONSTRAINT pours_key_fkey FOREIGN KEY (key) REFERENCES public.keys(fingerprint);
ALTER TABLE ONLY public.pours
    ADD CONSTRAINT pours_request_fkey FOREIGN KEY (request) REFERENCES public.requests(id);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_device_fkey FOREIGN KEY (device) REFERENCES public.devices(uuid);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_key_fkey FOREIGN KEY (key) REFERENCES public.keys(fingerprint);
ALTER TABLE ONLY public.temperatures
    ADD CONSTRAINT temperatures_device_fkey FOREIGN KEY (device) REFERENCES public.devices(uuid);
ALTER TABLE ONLY public.temperatures
    ADD CONSTRAINT temperatures_key_fkey FOREIGN KEY (key) REFERENCES public.keys(fingerprint);
ALTER TABLE ONLY public.temperatures
    ADD CONSTRAINT temperatures_request_fkey FOREIGN KEY (request) REFERENCES public.requests(id);
