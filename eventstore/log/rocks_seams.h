// Where tests of faults reach into the durable log. Production code passes none of it.
#pragma once

#include <functional>
#include <string_view>

namespace rocksdb {
class Env;
}

namespace mesh {

struct RocksSeams {
  /// The file system below RocksDB; null is the machine's. Borrowed for the life of the log.
  rocksdb::Env* env = nullptr;
  /// Called between the steps of every write: "prepared" (nothing written), "synced" (on disk, not
  /// visible), "visible". A test may end the process in it.
  std::function<void(std::string_view step)> at_step;
  /// RocksDB's write buffer; small ones make flushes and compactions frequent. It bounds the
  /// write-ahead log too, which a restart replays at 9 ms per MB.
  size_t write_buffer_bytes = 16 * 1024 * 1024;
};

}  // namespace mesh
