"""Archives: what a store holds as lines of JSON, for people, programs and other stores."""
