// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/** How to forget. Immutable. */
public final class ForgetOptions {
  private static final ForgetOptions DEFAULTS = builder().build();

  final boolean ifUnshared;
  final boolean end;
  final String caller;

  private ForgetOptions(Builder builder) {
    ifUnshared = builder.ifUnshared;
    end = builder.end;
    caller = builder.caller;
  }

  /**
   * Nothing but defaults.
   *
   * @return the same object each time
   */
  public static ForgetOptions defaults() {
    return DEFAULTS;
  }

  /**
   * Starts from the defaults.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /** Collects options. */
  public static final class Builder {
    private boolean ifUnshared;
    private boolean end;
    private String caller = "";

    private Builder() {}

    /**
     * Only if the flight has no followers.
     *
     * @param ifUnshared false by default
     * @return this
     */
    public Builder ifUnshared(boolean ifUnshared) {
      this.ifUnshared = ifUnshared;
      return this;
    }

    /**
     * End the running flight, too: its leader loses the lead, and its followers end with ABORTED.
     *
     * @param end false by default
     * @return this
     */
    public Builder end(boolean end) {
      this.end = end;
      return this;
    }

    /**
     * Who ends it, for the texts that the others get.
     *
     * @param caller at most 128 bytes of UTF-8
     * @return this
     */
    public Builder caller(String caller) {
      this.caller = Join.checkCaller(caller);
      return this;
    }

    /**
     * Makes the options.
     *
     * @return them
     */
    public ForgetOptions build() {
      return new ForgetOptions(this);
    }
  }
}
