// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.jackson;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.singleflightd.Codec;
import java.io.IOException;
import java.util.Objects;

/**
 * Values as JSON, which is what the clients of other languages write and read by default.
 * Immutable; keep it in a constant.
 *
 * <pre>{@code
 * record User(String name, int age) {}
 * static final Codec<User> USER = JacksonCodec.of(User.class);
 * static final Codec<List<User>> USERS = JacksonCodec.of(new TypeReference<>() {});
 * }</pre>
 *
 * <p>What JSON would lose is refused, with an exception that names it: {@code NaN}, infinite
 * numbers. {@code null} is a value, {@code null} in JSON.
 *
 * @param <T> the type of the values
 */
public final class JacksonCodec<T> implements Codec<T> {
  private static final JsonMapper MAPPER =
      JsonMapper.builder(JsonFactory.builder().addDecorator(new FiniteNumbers()).build())
          .findAndAddModules()
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
          .build();

  private final ObjectWriter writer;
  private final ObjectReader reader;

  private JacksonCodec(JsonMapper mapper, JavaType type) {
    writer = mapper.writerFor(type);
    reader = mapper.readerFor(type);
  }

  /**
   * For values of a class or record.
   *
   * @param <T> the type of the values
   * @param type the class
   * @return a codec with a mapper of its own, that has the modules which are on the class path
   */
  public static <T> JacksonCodec<T> of(Class<T> type) {
    return of(MAPPER, type);
  }

  /**
   * For values of a generic type, such as {@code List<User>}.
   *
   * @param <T> the type of the values
   * @param type the type
   * @return a codec with a mapper of its own, that has the modules which are on the class path
   */
  public static <T> JacksonCodec<T> of(TypeReference<T> type) {
    return of(MAPPER, type);
  }

  /**
   * For values of a class or record, with a mapper of the program.
   *
   * @param <T> the type of the values
   * @param mapper is not to be configured any more
   * @param type the class
   * @return a codec
   */
  public static <T> JacksonCodec<T> of(JsonMapper mapper, Class<T> type) {
    Objects.requireNonNull(type, "type");
    return new JacksonCodec<>(mapper, mapper.constructType(type));
  }

  /**
   * For values of a generic type, with a mapper of the program.
   *
   * @param <T> the type of the values
   * @param mapper is not to be configured any more
   * @param type the type
   * @return a codec
   */
  public static <T> JacksonCodec<T> of(JsonMapper mapper, TypeReference<T> type) {
    Objects.requireNonNull(type, "type");
    return new JacksonCodec<>(mapper, mapper.constructType(type));
  }

  @Override
  public byte[] encode(T value) throws IOException {
    return writer.writeValueAsBytes(value);
  }

  @Override
  public T decode(byte[] bytes) throws IOException {
    return reader.readValue(bytes);
  }
}
