#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "schemas/codec.h"
#include "tests/bench/benches.h"
#include "tests/bench/etcd.h"
#include "tests/bench/network.h"
#include "tests/bench/peers.h"
#include "tests/bench/raw.h"

namespace mesh::bench {

namespace {

constexpr size_t kClients = 64;
constexpr size_t kCommandsEach = 16;
constexpr size_t kRawValueBytes = 256;

/// Everything that one run needs, opened once so that no repetition pays for connecting.
struct Setup {
  Network network;
  Sequence head;
  uint64_t round = 0;
  std::unique_ptr<ControllerProcess> meshd;
  std::unique_ptr<Peers> one, many;
  RawLog raw_log;
  RawEcho echo;
  BoxSecret echo_key = BoxSecret::generate();
  Peers echo_one, echo_many;

  Setup(Network made, const std::filesystem::path& directory)
      : network(std::move(made)),
        raw_log(directory / "raw"),
        echo_one(PeerKind::dealer, echo.endpoint(), echo.key(), {&echo_key}),
        echo_many(PeerKind::dealer, echo.endpoint(), echo.key(),
                  std::vector<const BoxSecret*>(kClients, &echo_key)) {}
};

Status start(Setup& setup) {
  auto filler = Filler::open(setup.network);
  if (!filler) return std::unexpected(filler.error());
  MESH_TRY((*filler)->submit(add_sites()));
  setup.head = (*filler)->head();
  filler->reset();
  auto meshd = ControllerProcess::start(setup.network);
  if (!meshd) return std::unexpected(meshd.error());
  setup.meshd = std::move(*meshd);
  const BoxSecret* key = &setup.network.admin_box;
  setup.one = std::make_unique<Peers>(PeerKind::dealer, setup.meshd->endpoint(),
                                      setup.network.controller, std::vector<const BoxSecret*>{key});
  setup.many =
      std::make_unique<Peers>(PeerKind::dealer, setup.meshd->endpoint(), setup.network.controller,
                              std::vector<const BoxSecret*>(kClients, key));
  return {};
}

/// Signed before the clock starts, since a controller does not sign its clients' requests.
std::vector<Bytes> sign_frames(Setup& setup, size_t requests, size_t commands_each) {
  std::vector<Bytes> frames;
  for (auto& commands : attribute_requests(requests, commands_each, ++setup.round))
    frames.push_back(submit_frame(setup.network, frames.size(), setup.head, std::move(commands)));
  return frames;
}

/// Every request became exactly one entry, and they follow each other without a gap.
Status check_replies(Setup& setup, const LoadResult& result) {
  std::set<Sequence> sequences;
  for (const Bytes& frame : result.replies) {
    auto message = decode_message(frame);
    if (!message) return std::unexpected(message.error());
    if (const auto* error = std::get_if<ErrorReply>(&message->body))
      return std::unexpected(error->error);
    const auto* reply = std::get_if<Reply>(&message->body);
    if (!reply || !sequences.insert(reply->sequence).second)
      return fail(Errc::corrupt, "an answer is no reply, or two requests became one entry");
  }
  Sequence expected(setup.head.value() + result.replies.size());
  if (*sequences.begin() != next(setup.head) || *sequences.rbegin() != expected)
    return fail(Errc::corrupt, "the entries of the requests do not follow each other");
  setup.head = expected;
  return {};
}

Result<double> measure(Report& report, Setup& setup, Peers& peers, const std::string& name,
                       size_t requests, size_t commands_each) {
  std::vector<Bytes> frames = sign_frames(setup, requests, commands_each);
  double processor = setup.meshd->processor_seconds();
  auto result = closed_loop(peers, frames);
  if (!result) return std::unexpected(result.error());
  processor = setup.meshd->processor_seconds() - processor;
  MESH_TRY(check_replies(setup, *result));
  double per_second = static_cast<double>(requests) / result->seconds;
  report.sample(name + ".requests_per_s", "requests/s", kTrusted, per_second);
  if (commands_each > 1)
    report.sample(name + ".commands_per_s", "commands/s", kTrusted,
                  per_second * static_cast<double>(commands_each));
  report.sample(name + ".ack_p50", "us", kTrusted, quantile(result->latencies_us, 0.5));
  report.sample(name + ".ack_p99", "us", kTrusted, quantile(result->latencies_us, 0.99));
  if (peers.size() > 1)  // the kernel counts in hundredths of a second
    report.sample(name + ".meshd_processor_us", "us/request", kTrusted,
                  1e6 * processor / static_cast<double>(requests));
  return per_second;
}

Status measure_open(Report& report, Setup& setup, const std::string& name, size_t requests,
                    double per_second) {
  std::vector<Bytes> frames = sign_frames(setup, requests, 1);
  auto result = open_loop(*setup.many, frames, per_second);
  if (!result) return std::unexpected(result.error());
  MESH_TRY(check_replies(setup, *result));
  report.sample(name + ".ack_p50", "us", kTrusted, quantile(result->latencies_us, 0.5));
  report.sample(name + ".ack_p99", "us", kTrusted, quantile(result->latencies_us, 0.99));
  return {};
}

Status measure_echo(Report& report, Peers& peers, const std::string& name, size_t count,
                    size_t bytes) {
  auto result = closed_loop(peers, std::vector<Bytes>(count, Bytes(bytes, 0x5a)));
  if (!result) return std::unexpected(result.error());
  report.sample(name + ".round_trips_per_s", "round trips/s", kRawCurve,
                static_cast<double>(count) / result->seconds);
  report.sample(name + ".p50", "us", kRawCurve, quantile(result->latencies_us, 0.5));
  return {};
}

Status repetition(Report& report, Setup& setup, const Scale& scale) {
  auto raw = [&](size_t per_batch, size_t batches) {
    report.sample(fmt::format("raw_rocksdb.batch_{}", per_batch), "events/s", kRawDisk,
                  setup.raw_log.write(batches, per_batch, kRawValueBytes));
  };
  const size_t frame_bytes = sign_frames(setup, 1, 1).front().size();
  report.fact("requests.frame_bytes", static_cast<double>(frame_bytes));
  raw(1, scale.count(150, 50));
  MESH_TRY(measure_echo(report, setup.echo_one, "raw_curve_echo.1_client", scale.count(1'000, 200),
                        frame_bytes));
  MESH_TRY(measure(report, setup, *setup.one, "requests.1_client", scale.count(150, 50), 1));
  raw(16, scale.count(60, 20));
  raw(64, scale.count(60, 20));
  MESH_TRY(measure_echo(report, setup.echo_many, "raw_curve_echo.64_clients",
                        scale.count(4'000, 1'000), frame_bytes));
  auto saturated =
      measure(report, setup, *setup.many, "requests.64_clients", scale.count(3'000, 256), 1);
  if (!saturated) return std::unexpected(saturated.error());
  raw(256, scale.count(50, 10));
  MESH_TRY(measure(report, setup, *setup.many, "requests.64_clients_16_commands",
                   scale.count(600, 128), kCommandsEach));
  const size_t open = scale.count(800, 128);
  MESH_TRY(measure_open(report, setup, "requests.open_loop_50_percent", open, 0.5 * *saturated));
  return measure_open(report, setup, "requests.open_loop_80_percent", open, 0.8 * *saturated);
}

/// Ends meshd and replays its log.
Status finish(Report& report, Setup& setup) {
  report.fact("requests.meshd_resident_bytes", static_cast<double>(setup.meshd->resident_bytes()));
  MESH_TRY(setup.meshd->stop());
  auto entries = verify_log(setup.network);
  if (!entries) return std::unexpected(entries.error());
  report.fact("requests.entries_verified", static_cast<double>(*entries));
  report.check("requests.every_acknowledged_entry_verified", *entries == setup.head.value());
  return {};
}

Status measure_etcd(Report& report, Etcd& etcd, size_t clients, size_t count) {
  const double before = etcd.processor_seconds();
  auto result = etcd.put(clients, count, kRawValueBytes);
  if (!result) return std::unexpected(result.error());
  const std::string name = fmt::format("etcd.{}_client{}", clients, clients == 1 ? "" : "s");
  constexpr Nature kEtcd{true, false, false};
  report.sample(name + ".puts_per_s", "puts/s", kEtcd,
                static_cast<double>(count) / result->seconds);
  report.sample(name + ".ack_p50", "us", kEtcd, quantile(result->latencies_us, 0.5));
  report.sample(name + ".ack_p99", "us", kEtcd, quantile(result->latencies_us, 0.99));
  if (clients > 1)
    report.sample(name + ".processor_us", "us/put", kEtcd,
                  1e6 * (etcd.processor_seconds() - before) / static_cast<double>(count));
  return {};
}

}  // namespace

Status bench_peers(Report& report, const Scale& scale) {
  report.fact("peers.etcd_is_installed", Etcd::installed() ? 1 : 0);
  if (!Etcd::installed()) return {};
  TemporaryDirectory directory;
  auto network = make_network(directory.path() / "data");
  if (!network) return std::unexpected(network.error());
  Setup setup(std::move(*network), directory.path());
  MESH_TRY(start(setup));
  auto etcd = Etcd::start(directory.path() / "etcd");
  if (!etcd) return std::unexpected(etcd.error());
  const size_t few = scale.count(150, 50), many = scale.count(3'000, 256),
               bulk = scale.count(600, 128);
  uint64_t put = 0;
  for (Repetitions run(report, scale); run.next(); put += few + many) {
    MESH_TRY(measure_etcd(report, **etcd, 1, few));
    MESH_TRY(measure(report, setup, *setup.one, "requests.1_client", few, 1));
    MESH_TRY(measure_etcd(report, **etcd, kClients, many));
    MESH_TRY(measure(report, setup, *setup.many, "requests.64_clients", many, 1));
    MESH_TRY(measure(report, setup, *setup.many, "requests.64_clients_16_commands", bulk,
                     kCommandsEach));
  }
  auto keys = (*etcd)->keys();
  if (!keys) return std::unexpected(keys.error());
  report.check("peers.etcd_has_every_key", *keys == put);
  MESH_TRY(finish(report, setup));
  report.ratio("64 clients / etcd 64 clients", "requests.64_clients.requests_per_s",
               "etcd.64_clients.puts_per_s", Target{"T1", 1.0});
  report.ratio("1 client / etcd, ack p50", "requests.1_client.ack_p50", "etcd.1_client.ack_p50",
               Target{"T1", 0.9, true});
  report.ratio("64 x 16 commands / etcd 64 clients",
               "requests.64_clients_16_commands.commands_per_s", "etcd.64_clients.puts_per_s",
               Target{"T2", 8});
  return {};
}

Status bench_requests(Report& report, const Scale& scale) {
  TemporaryDirectory directory;
  auto network = make_network(directory.path() / "data");
  if (!network) return std::unexpected(network.error());
  Setup setup(std::move(*network), directory.path());
  MESH_TRY(start(setup));
  for (Repetitions run(report, scale); run.next();) {
    MESH_TRY(repetition(report, setup, scale));
  }
  MESH_TRY(finish(report, setup));
  report.ratio("1 client / raw RocksDB batch 1", "requests.1_client.requests_per_s",
               "raw_rocksdb.batch_1");
  report.ratio("64 clients / raw RocksDB batch 64", "requests.64_clients.requests_per_s",
               "raw_rocksdb.batch_64");
  report.ratio("64 clients / raw CURVE echo 64 clients", "requests.64_clients.requests_per_s",
               "raw_curve_echo.64_clients.round_trips_per_s");
  report.ratio("64 x 16 commands / raw RocksDB batch 256",
               "requests.64_clients_16_commands.commands_per_s", "raw_rocksdb.batch_256",
               Target{"T2", 0.4});
  return {};
}

}  // namespace mesh::bench
