#include "tests/bench/raw.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <thread>
#include <zmq.hpp>

#include "tests/bench/peers.h"

namespace mesh::bench {

namespace {

constexpr size_t kWriteBufferBytes = 16 * 1024 * 1024;  // as the log's own, so both flush alike
constexpr int kBacklog = 4'096;

zmq::socket_t bind_curve(zmq::context_t& context, zmq::socket_type type, const BoxSecret& key,
                         std::string& endpoint) {
  context.set(zmq::ctxopt::max_sockets, 16);
  zmq::socket_t socket(context, type);
  socket.set(zmq::sockopt::curve_server, true);
  socket.set(zmq::sockopt::curve_secretkey, zmq::buffer(key.reveal().data(), key.reveal().size()));
  socket.set(zmq::sockopt::sndhwm, 0);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::backlog, kBacklog);
  socket.bind("tcp://127.0.0.1:*");
  endpoint = socket.get(zmq::sockopt::last_endpoint);
  return socket;
}

}  // namespace

struct RawLog::Impl {
  std::unique_ptr<rocksdb::DB> db;
  uint64_t next = 0;
};

RawLog::RawLog(const std::filesystem::path& directory) : impl_(std::make_unique<Impl>()) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = kWriteBufferBytes;
  rocksdb::DB* db = nullptr;
  MESH_ASSERT(rocksdb::DB::Open(options, directory.string(), &db).ok());
  impl_->db.reset(db);
}

RawLog::~RawLog() = default;

double RawLog::write(size_t batches, size_t per_batch, size_t value_bytes) {
  std::string value(value_bytes, '\0');
  fill_random({reinterpret_cast<uint8_t*>(value.data()), value.size()});
  rocksdb::WriteOptions options;
  options.sync = true;
  int64_t begin = now_us();
  for (size_t i = 0; i < batches; ++i) {
    rocksdb::WriteBatch batch;
    for (size_t j = 0; j < per_batch; ++j) {
      uint64_t key = __builtin_bswap64(impl_->next++);
      batch.Put({reinterpret_cast<const char*>(&key), sizeof key}, value);
    }
    MESH_ASSERT(impl_->db->Write(options, &batch).ok());
  }
  return 1e6 * static_cast<double>(batches * per_batch) / static_cast<double>(now_us() - begin);
}

struct RawEcho::Impl {
  BoxSecret key = BoxSecret::generate();
  std::string endpoint;
  zmq::context_t context{1};
  zmq::socket_t socket = bind_curve(context, zmq::socket_type::router, key, endpoint);
  std::jthread thread;

  void serve(const std::stop_token& stop) {
    zmq::pollitem_t item{socket.handle(), 0, ZMQ_POLLIN, 0};
    while (!stop.stop_requested()) {
      zmq_poll(&item, 1, 20);
      zmq::message_t routing, frame;
      while (socket.recv(routing, zmq::recv_flags::dontwait)) {
        MESH_ASSERT(socket.recv(frame, zmq::recv_flags::none).has_value());
        socket.send(routing, zmq::send_flags::sndmore);
        socket.send(frame, zmq::send_flags::none);
      }
    }
  }
};

RawEcho::RawEcho() : impl_(std::make_unique<Impl>()) {
  impl_->thread = std::jthread([self = impl_.get()](std::stop_token stop) { self->serve(stop); });
}
RawEcho::~RawEcho() = default;
const std::string& RawEcho::endpoint() const { return impl_->endpoint; }
const BoxKey& RawEcho::key() const { return impl_->key.public_key(); }

struct RawSender::Impl {
  explicit Impl(Kind kind)
      : socket(bind_curve(context,
                          kind == Kind::push ? zmq::socket_type::push : zmq::socket_type::pub, key,
                          endpoint)) {}
  BoxSecret key = BoxSecret::generate();
  std::string endpoint;
  zmq::context_t context{1};
  zmq::socket_t socket;
  std::jthread thread;
};

RawSender::RawSender(Kind kind) : impl_(std::make_unique<Impl>(kind)) {}
RawSender::~RawSender() = default;
const std::string& RawSender::endpoint() const { return impl_->endpoint; }
const BoxKey& RawSender::key() const { return impl_->key.public_key(); }

void RawSender::send(size_t count, size_t bytes) {
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->thread = std::jthread([self = impl_.get(), count, bytes] {
    Bytes content(bytes, 0x5a);
    for (size_t i = 0; i < count; ++i)
      self->socket.send(zmq::buffer(content.data(), content.size()), zmq::send_flags::none);
  });
}

}  // namespace mesh::bench
