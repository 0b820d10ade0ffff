-- ClickHouse: events of all hosts, by time. `MergeTree` sorted by id within a host and an hour finds
-- what came twice: ReplacingMergeTree keeps one of them, and FINAL or argMax hides the other until then.
CREATE TABLE events
(
    time       DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    host       LowCardinality(String),
    id         String CODEC(ZSTD(1)),
    dataset    LowCardinality(String),
    user       LowCardinality(String),
    pid        UInt32,
    executable LowCardinality(String),
    command    String CODEC(ZSTD(3)),
    file       String CODEC(ZSTD(3)),
    source     IPv6,
    target     IPv6,
    rule       LowCardinality(String),
    severity   LowCardinality(String),
    event      String CODEC(ZSTD(6))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(time)
ORDER BY (host, toStartOfHour(time), id)
TTL toDateTime(time) + INTERVAL 90 DAY;

-- From Kafka: whatever puts lines of ECS JSON into the topic, a gateway say.
CREATE TABLE events_in (line String)
ENGINE = Kafka
SETTINGS kafka_broker_list = 'kafka.example:9092', kafka_topic_list = 'sensor',
         kafka_group_name = 'clickhouse', kafka_format = 'LineAsString';

CREATE MATERIALIZED VIEW events_from_kafka TO events AS
SELECT
    parseDateTime64BestEffort(JSONExtractString(line, '@timestamp'), 9, 'UTC') AS time,
    JSONExtractString(line, 'host', 'name') AS host,
    JSONExtractString(line, 'event', 'id') AS id,
    JSONExtractString(line, 'event', 'dataset') AS dataset,
    JSONExtractString(line, 'process', 'user', 'name') AS user,
    JSONExtractUInt(line, 'process', 'pid') AS pid,
    JSONExtractString(line, 'process', 'executable') AS executable,
    JSONExtractString(line, 'process', 'command_line') AS command,
    JSONExtractString(line, 'file', 'path') AS file,
    toIPv6OrDefault(JSONExtractString(line, 'source', 'ip')) AS source,
    toIPv6OrDefault(JSONExtractString(line, 'destination', 'ip')) AS target,
    JSONExtractString(line, 'rule', 'name') AS rule,
    JSONExtractString(line, 'sensor', 'alert', 'severity') AS severity,
    line AS event
FROM events_in;
