// Preloaded into a program (LD_PRELOAD), gives it another wall clock: MESH_WALL_CLOCK seconds since 1970 at the first
// look, and running from there. Other clocks are the machine's.
#include <dlfcn.h>
#include <sys/time.h>

#include <cstdlib>
#include <ctime>

namespace {

using GetTime = int (*)(clockid_t, timespec*);

GetTime real_get_time() {
  static const auto found = reinterpret_cast<GetTime>(::dlsym(RTLD_NEXT, "clock_gettime"));
  return found;
}

time_t shift() {
  static const time_t by = [] {
    timespec now{};
    real_get_time()(CLOCK_REALTIME, &now);
    return static_cast<time_t>(std::atoll(std::getenv("MESH_WALL_CLOCK"))) - now.tv_sec;
  }();
  return by;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) noexcept {
  const int done = real_get_time()(clock, out);
  if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) out->tv_sec += shift();
  return done;
}

time_t time(time_t* out) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(timeval* out, void*) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  *out = {now.tv_sec, now.tv_nsec / 1'000};
  return 0;
}
}
