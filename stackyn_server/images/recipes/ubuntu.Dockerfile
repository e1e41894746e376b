CMD ["sh"]
