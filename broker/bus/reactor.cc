#include "broker/bus/reactor.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "eventstore/model/result.h"

namespace mesh {

StopSignals::StopSignals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  MESH_ASSERT(pthread_sigmask(SIG_BLOCK, &wanted, &before_) == 0);
  fd_ = ::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
  MESH_ASSERT(fd_ >= 0);
}

StopSignals::~StopSignals() {
  ::close(fd_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> StopSignals::take() {
  signalfd_siginfo info{};
  if (::read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

WorkerPool::WorkerPool(size_t threads, std::function<void()> wake) : wake_(std::move(wake)) {
  MESH_ASSERT(threads > 0);
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { work(std::move(stop)); });
  }
}

WorkerPool::~WorkerPool() = default;

void WorkerPool::run(Job job, Job then) {
  ++pending_;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(job), std::move(then)});
  }
  ready_.notify_one();
}

size_t WorkerPool::finish() {
  std::vector<Job> done;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  pending_ -= done.size();
  for (Job& then : done) then();
  return done.size();
}

void WorkerPool::work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (ready_.wait(lock, stop, [&] { return !waiting_.empty(); }) && !stop.stop_requested()) {
    Task task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task.job();
    task.job = nullptr;  // what it held is let go before anybody hears of its end
    lock.lock();
    done_.push_back(std::move(task.then));
    lock.unlock();
    wake_();
    lock.lock();
  }
}

}  // namespace mesh
