// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.jackson;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerationException;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.JsonGeneratorDecorator;
import com.fasterxml.jackson.core.util.JsonGeneratorDelegate;
import java.io.IOException;
import java.io.Serializable;

/** Refuses numbers that JSON has no word for; Jackson would write them as texts. */
final class FiniteNumbers implements JsonGeneratorDecorator, Serializable {
  private static final long serialVersionUID = 1L;

  @Override
  public JsonGenerator decorate(JsonFactory factory, JsonGenerator generator) {
    return new Checked(generator);
  }

  private static final class Checked extends JsonGeneratorDelegate {
    Checked(JsonGenerator generator) {
      super(generator, false);
    }

    @Override
    public void writeNumber(double number) throws IOException {
      check(number);
      super.writeNumber(number);
    }

    @Override
    public void writeNumber(float number) throws IOException {
      check(number);
      super.writeNumber(number);
    }

    @Override
    public void writeArray(double[] array, int offset, int length) throws IOException {
      for (int i = offset; i < offset + length; i++) {
        check(array[i]);
      }
      super.writeArray(array, offset, length);
    }

    private void check(double number) throws IOException {
      if (!Double.isFinite(number)) {
        throw new JsonGenerationException(number + " is no number in JSON", this);
      }
    }
  }
}
