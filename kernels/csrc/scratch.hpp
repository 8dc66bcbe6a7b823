// Memory for what is kept and read again and again: pages of a nameless file on local scratch, which the system holds in memory
// as far as there is room.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <vector>

class Scratch {
  public:
    // 0, or the number of the error.
    int open(const char *folder) {
        std::string name = std::string(folder) + "/renkei-XXXXXX";
        handle_ = mkstemp(name.data());
        return handle_ < 0 ? errno : (unlink(name.c_str()), 0);
    }

    Scratch() = default;
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;
    ~Scratch() {
        for (auto [pages, size] : chunks_) munmap(pages, size);
        if (handle_ >= 0) close(handle_);
    }

    // Copies of arrays that stay where they are. `error()` tells if there was no room; then the result is null.
    template <class T> const T *keep(const T *array, size_t count) {
        size_t bytes = (count * sizeof(T) + 7) / 8 * 8;
        if (error_ || (bytes > left_ && !grow(bytes))) return nullptr;
        char *place = next_;
        if (count) std::memcpy(place, array, count * sizeof(T));
        next_ += bytes, left_ -= bytes;
        return reinterpret_cast<const T *>(place);
    }
    template <class T> const T *keep(const std::vector<T> &array) { return keep(array.data(), array.size()); }

    int error() const { return error_; }

  private:
    struct Chunk {
        void *pages;
        size_t size;
    };
    static constexpr size_t FIRST = size_t(1) << 20, LARGEST = size_t(1) << 28;

    // Blocks are reserved before they are written: a write to pages that have none would end the process.
    bool grow(size_t bytes) {
        size_t page = size_t(sysconf(_SC_PAGESIZE)), usual = chunks_.empty() ? FIRST : std::min(2 * chunks_.back().size, LARGEST);
        size_t size = (std::max(bytes, usual) + page - 1) / page * page;
        if ((error_ = posix_fallocate(handle_, off_t(used_), off_t(size)))) return false;
        void *pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, handle_, off_t(used_));
        if (pages == MAP_FAILED) {
            error_ = errno;
            return false;
        }
        chunks_.push_back({pages, size});
        used_ += size, next_ = static_cast<char *>(pages), left_ = size;
        return true;
    }

    int handle_ = -1, error_ = 0;
    size_t used_ = 0, left_ = 0;
    char *next_ = nullptr;
    std::vector<Chunk> chunks_;
};
