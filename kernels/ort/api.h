// onnxruntime's functions as C++: a failed one throws, and what is thrown becomes a status again at the border.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#include "abi.h"

namespace dqmq::ort {

// A status of onnxruntime's own, on its way back to it.
class StatusError {
 public:
  StatusError(const OrtApi* api, OrtStatus* status) : api_(api), status_(status) {}
  StatusError(StatusError&& other) noexcept : api_(other.api_), status_(other.release()) {}
  StatusError(const StatusError&) = delete;
  StatusError& operator=(const StatusError&) = delete;
  ~StatusError();

  OrtStatus* release() { return std::exchange(status_, nullptr); }

 private:
  const OrtApi* api_;
  OrtStatus* status_;
};

class Api {
 public:
  // `has_references`: it has ReferToTypeAndShape.
  explicit Api(const OrtApi* table, bool has_references = false) : table_(table), has_references_(has_references) {}

  bool has_references() const { return has_references_; }

  // Calls a function as it is.
  template <typename Entry, typename... Arguments>
  auto plain(Arguments... arguments) const {
    return reinterpret_cast<typename Entry::Type*>(table_->functions[Entry::place])(arguments...);
  }

  // Calls a function that gives a status; throws it as StatusError unless all is well.
  template <typename Entry, typename... Arguments>
  void call(Arguments... arguments) const {
    if (OrtStatus* status = plain<Entry>(arguments...)) throw StatusError(table_, status);
  }

  // Calls a function whose failure is an answer, too: whether it went well.
  template <typename Entry, typename... Arguments>
  bool succeeds(Arguments... arguments) const {
    OrtStatus* status = plain<Entry>(arguments...);
    if (status) plain<ReleaseStatus>(status);
    return status == nullptr;
  }

  // Runs `body`; what it throws comes back as a status. Nothing is thrown across the border.
  template <typename Body>
  OrtStatus* guarded(Body&& body) const noexcept {
    try {
      body();
      return nullptr;
    } catch (StatusError& error) {
      return error.release();
    } catch (const std::invalid_argument& error) {
      return plain<CreateStatus>(kInvalidArgument, error.what());
    } catch (const std::bad_alloc&) {
      return plain<CreateStatus>(kFail, "out of memory");
    } catch (const std::exception& error) {
      return plain<CreateStatus>(kFail, error.what());
    } catch (...) {
      return plain<CreateStatus>(kFail, "unknown failure");
    }
  }

 private:
  const OrtApi* table_;
  bool has_references_;
};

inline StatusError::~StatusError() {
  if (status_) Api(api_).plain<ReleaseStatus>(status_);
}

}  // namespace dqmq::ort
